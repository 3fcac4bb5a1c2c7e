"""Files that kohya_ss writes; what it does with its fields is read from its source, at commit 45088f0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lib_lyco.train.kohya.imported import Imported
from lib_lyco.train.kohya.read import read_input, read_text

PLAIN: dict[str, Any] = {
    "LoRA_type": "Standard",
    "network_dim": 8,
    "network_alpha": 4,
    "train_data_dir": "cats",
    "learning_rate": 1e-4,
    "unet_lr": 1e-4,
    "text_encoder_lr": 5e-5,
    "epoch": 2,
}


def read(**fields: Any) -> Imported:
    return read_text(json.dumps({**PLAIN, **fields}))


def flags(found: Imported, kind: str) -> set[str]:
    return {note.flag for note in found.notes if note.kind == kind}


def test_fields_under_their_names_of_2023() -> None:
    found = read(
        LoRA_type="Kohya LoCon",
        conv_dim=4,
        conv_alpha=1,
        conv_dims=",".join(["2"] * 25),
        conv_alphas=",".join(["1"] * 25),
        stop_text_encoder_training_pct=25,
        use_wandb=True,
    )
    config = found.config()
    assert config.conv_block_dims == (2,) * 25
    assert config.conv_block_alphas == (1.0,) * 25
    assert config.te_stop_share == 0.25
    assert config.log_with == "wandb"


@pytest.mark.parametrize(
    ("kind", "algo", "expected"),
    [
        ("LyCORIS/LoHa", "loha", {"tucker": True, "dora": True, "conv_rank": 2}),
        ("LyCORIS/LoKr", "lokr", {"factor": 6, "decompose_both": True, "conv_rank": 2}),
        ("LyCORIS/Diag-OFT", "diag-oft", {"constraint": 0.5, "rescaled": True}),
        ("LyCORIS/DyLoRA", "dylora", {"block_size": 2, "conv_rank": 2}),
        ("LyCORIS/iA3", "ia3", {}),
        ("Kohya LoHa", "loha", {"tucker": True, "dora": False, "conv_rank": 2}),
        ("Kohya LoKr", "lokr", {"tucker": True, "factor": 6}),
        ("Kohya DyLoRA", "dylora", {"block_size": 2}),
    ],
)
def test_each_kind_is_given_the_fields_that_are_its_own(
    kind: str, algo: str, expected: dict[str, Any]
) -> None:
    found = read(
        LoRA_type=kind,
        conv_dim=2,
        conv_alpha=1,
        factor=6,
        decompose_both=True,
        use_tucker=True,
        dora_wd=True,
        constrain=0.5,
        rescaled=True,
        unit=2,
        LyCORIS_preset="full",
    )
    config = found.config()
    assert config.algo == algo
    assert {name: getattr(config, name) for name in expected} == expected
    # the page shows all of them and passes an algorithm only its own: no word about the others
    assert not flags(found, "attention") & {"factor", "constraint", "rescaled", "block_size", "dora"}


def test_the_launchers_fields_and_those_nobody_reads_are_told() -> None:
    found = read(num_processes=2, multi_gpu=True, num_cpu_threads_per_process=2, guidance_scale=3.5, ae="x")
    (launch,) = (note.text for note in found.notes if note.flag == "accelerate launch")
    assert "--num_processes=2 --multi_gpu" in launch
    (others,) = (note.text for note in found.notes if note.flag == "other fields")
    assert "guidance_scale, ae" in others


def test_switches_of_old_files_that_mean_nothing_are_told() -> None:
    found = read(no_token_padding=True, dynamo_backend="no", xformers=True)
    assert {"no_token_padding", "xformers"} <= flags(found, "obsolete")
    assert not flags(found, "attention")  # no is what there is


def test_a_warmup_beside_a_constant_rate() -> None:
    found = read(lr_scheduler="constant", lr_warmup=10)
    config = found.config()
    assert (config.scheduler, config.warmup_share) == ("constant_with_warmup", 0.1)
    assert "lr_scheduler" in flags(found, "changed")
    relative = read(optimizer="Adafactor", lr_scheduler="adafactor", lr_warmup=10)
    assert relative.config().warmup_share == 0
    assert "lr_warmup" in flags(relative, "obsolete")


def test_further_flags_are_split_as_the_page_does(tmp_path: Path) -> None:
    config = read(additional_parameters='--vae="C:\\new\\x.pt" --clip_skip 2').config()
    assert (config.vae, config.clip_skip) == (r"C:\new\x.pt", 2)


def test_the_config_file_that_the_page_writes_for_sd_scripts(tmp_path: Path) -> None:
    path = tmp_path / "config_lora-20260710-150838.toml"
    path.write_text(
        'caption_extension = ".txt"\nepoch = 3\nenable_bucket = true\nmax_train_steps = 120\n'
        'noise_offset = 0.05\nnoise_offset_type = "Original"\npersistent_data_loader_workers = 1\n'
        'network_module = "networks.lora"\nnetwork_dim = 8\nbucket_reso_steps = 64.0\n'
        'text_encoder_lr = [ 5e-5, 5e-5,]\nunet_lr = 0.0001\ntrain_data_dir = "C:/cats"\n',
        encoding="utf-8",
    )
    found = read_input(path)
    config = found.config()
    assert (config.max_steps, config.noise_offset, config.bucket_step) == (120, 0.05, 64)
    assert config.te_learning_rate == (5e-5, 5e-5)
    assert {"epoch", "noise_offset_type", "persistent_data_loader_workers"} <= flags(found, "obsolete")
    given = read_text(f'python train_network.py --config_file="{path}" --network_dim=4').config()
    assert (given.rank, given.max_steps) == (4, 120)
