"""What sd-scripts' flags mean here; expected values are from its documentation and the sources' words."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lib_lyco.errors import ConfigError
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.kohya.flags import parse_flags
from lib_lyco.train.kohya.imported import Imported
from lib_lyco.train.kohya.meanings import HANDLED, OBSOLETE, RENAMED, SAME, UNSUPPORTED
from lib_lyco.train.kohya.names import ALL_FLAGS
from lib_lyco.train.kohya.read import from_flags, is_kohya, read_input, read_text
from lib_lyco.train.option import declarations

OURS = {declaration.name for declaration in declarations(TrainConfig)}


def read(line: str) -> Imported:
    return read_text(f"accelerate launch train_network.py {line}")


def kinds(found: Imported, flag: str) -> list[str]:
    return [note.kind for note in found.notes if note.flag == flag]


def test_every_flag_has_one_meaning() -> None:
    tables = (SAME, RENAMED, OBSOLETE, UNSUPPORTED, HANDLED)
    counts = Counter(flag for table in tables for flag in table)
    assert counts == Counter(ALL_FLAGS)
    assert {*SAME, *RENAMED.values()} <= OURS


LINE = (
    r"--pretrained_model_name_or_path=X:\base.safetensors --train_data_dir=X:\data --reg_data_dir=X:\reg "
    "--output_dir=out --output_name=cat --resolution=512,768 --train_batch_size=2 --enable_bucket "
    "--min_bucket_reso=320 --max_bucket_reso=960 --bucket_no_upscale --learning_rate=1e-4 "
    "--text_encoder_lr 5e-5 --unet_lr=1e-4 --lr_scheduler=cosine_with_restarts --lr_warmup_steps=0.1 "
    "--lr_scheduler_num_cycles=3 --max_train_epochs=4 --save_every_n_epochs=1 --mixed_precision=fp16 "
    "--save_precision=fp16 --use_8bit_adam --xformers --seed=42 --clip_skip=2 --max_token_length=225 "
    "--network_dim=32 --network_alpha=16 --caption_extension=.txt --cache_latents --noise_offset=0.1 "
    "--flip_aug --color_aug"
)
EXPECTED: dict[str, Any] = {
    "base_model": r"X:\base.safetensors",
    "images": r"X:\data",
    "reg_images": r"X:\reg",
    "output": "out",
    "name": "cat",
    "overwrite": True,
    "resolution": (512, 768),
    "batch_size": 2,
    "buckets": True,
    "bucket_min": 320,
    "bucket_max": 960,
    "bucket_upscale": False,
    "learning_rate": 1e-4,
    "te_learning_rate": (5e-5,),
    "unet_learning_rate": 1e-4,
    "scheduler": "cosine_with_restarts",
    "warmup_share": 0.1,
    "scheduler_cycles": 3,
    "epochs": 4,
    "max_steps": None,
    "save_every_n_epochs": 1,
    "precision": "fp16",
    "save_precision": "fp16",
    "optimizer_type": "AdamW8bit",
    "seed": 42,
    "clip_skip": 2,
    "max_token_length": 225,
    "long_captions": "kohya",
    "algo": "lora",
    "rank": 32,
    "alpha": 16.0,
    "caption_extension": ".txt",
    "noise_offset": 0.1,
    "flip": True,
    "color_aug": "kohya",
    "latent_cache": "off",
}


def test_a_whole_command_line() -> None:
    config = read(LINE).config()
    assert {name: getattr(config, name) for name in EXPECTED} == EXPECTED


def test_what_is_not_given_has_sd_scripts_defaults_and_a_note() -> None:
    found = read("--train_data_dir=a")
    config = found.config()
    assert (config.learning_rate, config.scheduler, config.max_steps) == (2e-6, "constant", 1600)
    assert (config.rank, config.alpha, config.buckets) == (4, 1.0, False)
    assert (config.precision, config.save_precision, config.max_token_length) == ("fp32", "fp32", 75)
    for flag in ("learning_rate", "max_train_steps", "network_dim", "enable_bucket", "seed"):
        assert kinds(found, flag) == ["default"], flag
    assert kinds(found, "caption_extension") == ["changed"]


@pytest.mark.parametrize(
    ("module", "arguments", "expected"),
    [
        ("networks.lora", "", {"algo": "lora"}),
        ("networks.lora", "conv_dim=8 conv_alpha=4", {"algo": "locon", "conv_rank": 8, "conv_alpha": 4.0}),
        ("networks.lora", "conv_dim=8", {"algo": "locon", "conv_alpha": 1.0}),
        ("networks.lora", "down_lr_weight=sine", {"down_lr_weight": "sine"}),
        ("networks.lora", "mid_lr_weight=1,.5,1,1", {"mid_lr_weight": "1,.5,1"}),
        ("networks.dylora", "unit=2", {"algo": "dylora", "block_size": 2}),
        ("networks.dylora", "", {"algo": "dylora", "block_size": 1}),
        ("locon.locon_kohya", "conv_dim=8 conv_alpha=1", {"algo": "locon", "conv_rank": 8}),
        # LyCORIS: lora is a LoCon; conv_dim is network_dim unless given; preset is full
        ("lycoris.kohya", "", {"algo": "locon", "conv_rank": 16, "conv_alpha": 1.0, "preset": "full"}),
        ("lycoris.kohya", "algo=loha conv_dim=4", {"algo": "loha", "conv_rank": 4}),
        ("lycoris.kohya", "algo=ia3 preset=ia3", {"algo": "ia3", "preset": ""}),
        ("lycoris.kohya", "algo=lokr factor=8 use_cp=True", {"algo": "lokr", "factor": 8, "tucker": True}),
        ("lycoris.kohya", "algo=lokr decompose_both=False", {"decompose_both": False}),
        # half a factor's size or more means whole factors
        ("lycoris.kohya", "algo=lokr conv_dim=100000", {"full_matrix": True, "conv_rank": 1024}),
        ("lycoris.kohya", "algo=dylora", {"algo": "dylora", "block_size": 4}),
        # the names of T-LoRA's own training, and LyCORIS' module
        (
            "lycoris.kohya",
            "algo=tlora min_rank=4 alpha_rank_scale=2 sig_type=last use_data_init=no",
            {
                "algo": "tlora",
                "min_rank": 4,
                "rank_exponent": 2.0,
                "sig_type": "last",
                "use_data_init": False,
            },
        ),
        ("lycoris.kohya", "algo=boft constrain=0.5", {"constraint": 0.5}),
        # today's LyCORIS takes this for its opposite; its user wants none
        ("lycoris.kohya", "algo=locon disable_conv_cp=True", {"tucker": False}),
        ("lycoris.kohya", "algo=locon dora_wd=0", {"dora": False}),
    ],
)
def test_network_arguments(module: str, arguments: str, expected: dict[str, Any]) -> None:
    line = f"--network_module={module} --network_dim=16 --network_args {arguments}"
    config = read(line).config()
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("arguments", "scheduler", "relative"),
    [
        # train_util.get_optimizer: relative_step is on unless switched off, and takes the schedule over
        ("", "adafactor", None),
        ("relative_step=True scale_parameter=True warmup_init=False", "adafactor", "relative_step=True"),
        ("warmup_init=True relative_step=False", "adafactor", "relative_step=True"),
        ("relative_step=False", "cosine", "relative_step=False"),
    ],
)
def test_adafactor_as_sd_scripts_reads_it(arguments: str, scheduler: str, relative: str | None) -> None:
    line = "--optimizer_type=AdaFactor --lr_scheduler=cosine --lr_warmup_steps=10 --optimizer_args "
    found = read(line + arguments)
    config = found.config()
    assert config.scheduler == scheduler
    assert config.warmup_steps == (0 if scheduler == "adafactor" else 10)
    assert kinds(found, "lr_scheduler") == (["changed"] if scheduler == "adafactor" else [])
    assert config.optimiser_arguments["relative_step"] is (scheduler == "adafactor")
    if relative:
        assert relative in config.optimizer_args


def test_one_rate_for_what_finds_its_own() -> None:
    # the batch file's preset; the package itself stops at rates that differ
    found = read("--optimizer_type=DAdaptation --text_encoder_lr=0.5 --unet_lr=1.0 --learning_rate=1e-3")
    config = found.config()
    assert (config.unet_learning_rate, config.te_learning_rate) == (1.0, (1.0,))
    assert kinds(found, "learning_rate") == ["changed"]
    alone = read("--optimizer_type=Prodigy --unet_lr=1 --network_train_unet_only").config()
    assert (alone.unet_learning_rate, alone.te_learning_rate) == (1.0, (0.0,))


def test_flags_of_the_launcher_are_told() -> None:
    plain = "accelerate launch --num_cpu_threads_per_process 12 --num_processes=1 train_network.py --seed=1"
    assert kinds(read_text(plain), "num_cpu_threads_per_process") == ["obsolete"]
    assert kinds(read_text(plain), "accelerate launch") == []
    several = read_text("accelerate launch --multi_gpu --num_processes 2 train_network.py --seed=1")
    (note,) = (note for note in several.notes if note.flag == "accelerate launch")
    assert note.kind == "attention"
    assert "accelerate launch --multi_gpu --num_processes=2 -m lib_lyco train" in note.text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--netwrk_dim=4", "did you mean --network_dim"),
        ("--network_dim=four", "network_dim"),
        ("--network_module=networks.other", "network_module"),
        ("--network_args convdim=4", "did you mean conv_dim"),
        ("--network_args conv_dim", "no value"),
        ("--network_module=lycoris.kohya --network_args dora_wd=maybe", "dora_wd"),
        ("--network_module=lycoris.kohya --network_args algo=x", "algo"),
        ("--mixed_precision=fp8", "mixed_precision"),
        ("--use_8bit_adam --optimizer_type=Lion", "Two optimisers"),
        ("--lr_scheduler_type=a.b.Mine", "foreign Python"),
    ],
)
def test_what_has_no_meaning_is_an_error(line: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(line)


def test_notes_tell_what_is_changed_obsolete_or_left_out() -> None:
    found = read(
        "--xformers --huggingface_repo_id=a --lr_scheduler=constant --lr_warmup_steps=10 "
        "--resolution=512,650 --bucket_reso_steps=1 --save_model_as=ckpt --lr_scheduler_power=2 "
        "--network_dim=4 --network_alpha=8 --wandb_api_key=secret"
    )
    config = found.config()
    assert config.scheduler == "constant_with_warmup"
    assert config.resolution == (512, 648)
    assert config.bucket_step == 8
    expected = {
        "xformers": "obsolete",
        "huggingface_repo_id": "attention",
        "lr_scheduler": "changed",
        "resolution": "changed",
        "bucket_reso_steps": "changed",
        "save_model_as": "changed",
        "scheduler_power": "obsolete",
        "network_alpha": "attention",
        "wandb_api_key": "attention",
    }
    assert {flag: kinds(found, flag) for flag in expected} == {
        flag: [kind] for flag, kind in expected.items()
    }
    assert "secret" not in str(found)


def test_an_import_says_that_images_without_captions_stop_the_run() -> None:
    found = read("--train_data_dir=images --caption_extension=.txt")
    assert kinds(found, "allow_untagged") == ["default"] and not found.config().allow_untagged


@pytest.mark.parametrize(
    ("name", "is_told"),
    [
        ("runwayml/stable-diffusion-v1-5", True),
        ("models/a.safetensors", False),
        ("../base", False),
        (r"C:\models\a.ckpt", False),
        ("C:/models/a.ckpt", False),
    ],
)
def test_a_model_that_would_be_downloaded_is_told(name: str, is_told: bool) -> None:
    found = from_flags([f"--pretrained_model_name_or_path={name}"])
    assert kinds(found, "pretrained_model_name_or_path") == (["attention"] if is_told else [])
    assert found.options["base_model"] == name


def test_empty_values_are_as_not_given() -> None:
    assert parse_flags(["--vae=", "--network_dim=", "--seed=1"]) == {"seed": 1}


def test_a_config_file_gives_way_to_flags(tmp_path: Path) -> None:
    path = tmp_path / "theirs.toml"
    path.write_text(
        '[model]\nv2 = true\n[network]\nnetwork_dim = 8\nnetwork_args = ["conv_dim=4"]\n'
        "learning_rate = 1e-3\nflip_aug = false\n",
        encoding="utf-8",
    )
    config = from_flags([f"--config_file={path}", "--learning_rate=1e-4"]).config()
    assert (config.rank, config.conv_rank, config.learning_rate) == (8, 4, 1e-4)
    assert (config.base_family, config.flip) == ("sd2", False)
    assert read_input(path).config().learning_rate == 1e-3


def test_inputs_are_told_apart(tmp_path: Path) -> None:
    assert read_text("rank = 8\n[data]\nrepeats = 2\n").options == {"rank": 8, "repeats": 2.0}
    dataset = tmp_path / "d.toml"
    dataset.write_text('[[datasets]]\n[[datasets.subsets]]\nimage_dir = "a"\n', encoding="utf-8")
    assert read_input(dataset).options == {"dataset_config": str(dataset)}
    sdxl = read_text("python sdxl_train_network.py --seed=1 --clip_skip=2")
    assert sdxl.options["base_family"] == "sdxl"
    assert "clip_skip" not in sdxl.options
    assert kinds(sdxl, "clip_skip") == ["obsolete"]
    assert is_kohya(["--network_dim=8"])
    assert not is_kohya(["--rank", "8", "--seed", "1"])
    japanese = tmp_path / "train.bat"
    japanese.write_bytes("rem 学習\r\npython train_network.py --output_name=猫".encode("cp932"))
    assert read_input(japanese).options["name"] == "猫"


GUI = {
    "LoRA_type": "LyCORIS/LoHa",
    "LyCORIS_preset": "attn-mlp",
    "pretrained_model_name_or_path": "a.safetensors",
    "max_resolution": "512,512",
    "epoch": 3,
    "max_train_epochs": "",
    "max_train_steps": "",
    "train_batch_size": 2,
    "learning_rate": 1e-4,
    "unet_lr": 1e-4,
    "text_encoder_lr": 0,
    "lr_scheduler": "cosine",
    "lr_warmup": 10,
    "optimizer": "Prodigy",
    "optimizer_args": '"d_coef=1.0" "weight_decay=0.4"',
    "network_dim": 8,
    "network_alpha": 4,
    "conv_dim": 4,
    "conv_alpha": 1,
    "factor": -1,
    "decompose_both": False,
    "noise_offset_type": "Multires",
    "noise_offset": 0.05,
    "multires_noise_iterations": 6,
    "multires_noise_discount": 0.1,
    "stop_text_encoder_training": 0,
    "enable_bucket": True,
    "xformers": "xformers",
    "min_snr_gamma": 5,
    "seed": "",
    "mixed_precision": "fp16",
    "save_precision": "fp16",
    "caption_extension": ".txt",
    "additional_parameters": "--ip_noise_gamma=0.1",
}


def test_a_configuration_of_the_gui() -> None:
    config = read_text(json.dumps(GUI)).config()
    expected = {
        "algo": "loha",
        "preset": "attn-mlp",
        "epochs": 3,
        "max_steps": None,
        "te_learning_rate": (0.0,),  # the GUI trains the UNet alone where the other's rate is 0
        "warmup_share": 0.1,
        "optimizer_type": "Prodigy",
        "optimizer_args": ("d_coef=1.0", "weight_decay=0.4"),
        "rank": 8,
        "alpha": 4.0,
        "conv_rank": 4,
        "noise_offset": 0.0,  # of the other type
        "multires_noise_iterations": 6,
        "multires_noise_discount": 0.1,
        "min_snr_gamma": 5.0,
        "ip_noise_gamma": 0.1,
    }
    assert {name: getattr(config, name) for name in expected} == expected


def test_what_the_gui_shows_and_sd_scripts_lacks() -> None:
    fields = {**GUI, "text_encoder_lr": 5e-5, "stop_text_encoder_training": 30}
    assert read_text(json.dumps(fields)).config().te_stop_share == 0.3


def test_configurations_for_others_are_refused() -> None:
    with pytest.raises(ConfigError, match="another base model"):
        read_text(json.dumps({**GUI, "flux1_checkbox": True}))
    with pytest.raises(ConfigError, match="LoRA tab"):
        read_text(json.dumps({"a": 1}))
    with pytest.raises(ConfigError, match="kind of network"):
        read_text(json.dumps({**GUI, "LoRA_type": "Flux1"}))


def test_prompts_written_into_the_gui_are_told_to_be_left_out() -> None:
    found = read_text(json.dumps({**GUI, "sample_prompts": "a cat --n blurry\na dog"}))
    assert found.config().sample_prompts == ""
    assert kinds(found, "sample_prompts") == ["attention"]
    assert "a cat --n blurry | a dog" in str(found.notes)
