"""What a file says of its training: the keys of sd-scripts' `train_network.py`, with values by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import toml

from lib_lyco.train.compose.data import plan_run
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.train.config_file import parse_config
from lib_lyco.train.metadata import BaseFacts, network_metadata
from tests.train.test_folder import write_image

ALWAYS = """
    session_id training_started_at output_name learning_rate text_encoder_lr unet_lr num_train_images
    num_validation_images num_reg_images num_batches_per_epoch num_epochs gradient_checkpointing
    gradient_accumulation_steps max_train_steps lr_warmup_steps lr_scheduler network_module network_dim
    network_alpha network_dropout mixed_precision full_fp16 v2 base_model_version clip_skip
    max_token_length cache_latents seed lowram noise_offset multires_noise_iterations
    multires_noise_discount adaptive_noise_scale zero_terminal_snr training_comment
    sd_scripts_commit_hash optimizer max_grad_norm caption_dropout_rate caption_dropout_every_n_epochs
    caption_tag_dropout_rate face_crop_aug_range prior_loss_weight min_snr_gamma scale_weight_norms
    ip_noise_gamma debiased_estimation noise_offset_random_strength ip_noise_gamma_random_strength
    loss_type huber_schedule huber_scale huber_c fp8_base fp8_base_unet validation_seed
    validation_split max_validation_steps validate_every_n_epochs validate_every_n_steps
    resize_interpolation sd_model_name tag_frequency dataset_dirs
"""
"""Without `ss_`, as train_network.py of 48d368fa writes them for every run."""
FLAT = """
    batch_size_per_device total_batch_size resolution color_aug flip_aug random_crop shuffle_caption
    enable_bucket bucket_no_upscale min_bucket_reso max_bucket_reso keep_tokens reg_dataset_dirs
    bucket_info
"""
"""And where there is no dataset_config."""
OURS = {"ss_network_args", "ss_full_bf16"}
"""Written always: sd-scripts leaves empty arguments out, and does not tell full_bf16."""

UNSET: dict[str, Any] = {
    "color_aug": False,
    "flip_aug": False,
    "random_crop": False,
    "shuffle_caption": False,
    "keep_tokens": 0,
    "keep_tokens_separator": "",
    "secondary_separator": None,
    "enable_wildcard": False,
    "caption_prefix": None,
    "caption_suffix": None,
    "resize_interpolation": None,
}
"""Of a subset that sets nothing."""


def keys(*names: str) -> set[str]:
    return {f"ss_{name}" for text in names for name in text.split()}


def told(config: TrainConfig, processes: int = 1, held_out: int = 0) -> dict[str, str]:
    base = BaseFacts("sd1", "epsilon", "model")
    return network_metadata(config, plan_run(config, processes), base, 0.0, processes, held_out)


def of_kohya(metadata: dict[str, str]) -> set[str]:
    return {key for key in metadata if key.startswith("ss_")} - OURS


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three cats, one of them wide and one captioned; two dogs of the metadata file; two pictures."""
    for name, size in (("a", (64, 64)), ("b", (64, 64)), ("c", (128, 64))):
        write_image(tmp_path / "cats" / f"{name}.png", size)
    (tmp_path / "cats" / "a.txt").write_text("Cat, sits", encoding="utf-8")
    for folder, name in (("reg", "e"), ("reg", "f"), ("dogs", "d")):
        write_image(tmp_path / folder / f"{name}.png", (64, 64))
    (tmp_path / "dogs.json").write_text(json.dumps({"d": {"tags": "dog, Runs"}}), encoding="utf-8")
    return tmp_path


@pytest.fixture
def listed(images: Path) -> TrainConfig:
    """Two datasets: cats with regularisation in buckets, dogs without; the dogs' file again."""
    cats = {"image_dir": str(images / "cats"), "class_tokens": "cat", "num_repeats": 2, "flip_aug": True}
    reg = {"image_dir": str(images / "reg"), "is_reg": True, "num_repeats": 1, "keep_tokens": 1}
    dogs = {"image_dir": str(images / "dogs"), "metadata_file": str(images / "dogs.json")}
    prefixed = dogs | {"caption_prefix": "photo", "secondary_separator": ";", "color_aug": True}
    tables: dict[str, Any] = {
        "datasets": [
            {"batch_size": 3, "min_bucket_reso": 40, "max_bucket_reso": 130, "subsets": [cats, reg]},
            {"enable_bucket": False, "subsets": [dogs, prefixed]},
        ]
    }
    path = images / "dataset.toml"
    path.write_text(toml.dumps(tables), encoding="utf-8")
    options = {"resolution": 64, "bucket_min": 32, "bucket_step": 32, "precision": "fp32"}
    return make_config({"dataset_config": str(path), "latent_cache": "off", **options})


def test_datasets_of_a_dataset_config_are_told_one_by_one(listed: TrainConfig) -> None:
    cats, _ = json.loads(told(listed)["ss_datasets"])
    # 3 images twice; 2 of regularisation once (shown 3 times each, to make as many). Square images are
    # 64x64; 128x64 has the aspect 2, and the nearest bucket within the area is 64x64 or 96x32: 3 is as far
    # as 1, the first counts.
    assert cats == {
        "is_dreambooth": True,
        "batch_size_per_device": 3,
        "num_train_images": 6,
        "num_reg_images": 2,
        "resolution": [64, 64],
        "enable_bucket": True,
        "min_bucket_reso": 32,  # 40 floored, 130 ceiled to steps
        "max_bucket_reso": 160,
        "tag_frequency": {"cats": {"cat": 3, "sits": 1}, "reg": {}},
        "bucket_info": {
            "buckets": {"0": {"resolution": [64, 64], "count": 12}},
            "mean_img_ar_error": 1 / 5,
        },
        "resize_interpolation": None,
        "subsets": [
            {
                **UNSET,
                "img_count": 3,
                "num_repeats": 2,
                "flip_aug": True,
                "image_dir": "cats",
                "class_tokens": "cat",
                "is_reg": False,
            },
            {
                **UNSET,
                "img_count": 2,
                "num_repeats": 1,
                "keep_tokens": 1,
                "image_dir": "reg",
                "class_tokens": None,
                "is_reg": True,
            },
        ],
    }


def test_a_dataset_of_a_metadata_file_without_buckets(listed: TrainConfig) -> None:
    _, dogs = json.loads(told(listed)["ss_datasets"])
    plain = {**UNSET, "img_count": 1, "num_repeats": 1, "image_dir": "dogs", "metadata_file": "dogs.json"}
    changed = {"caption_prefix": "photo", "secondary_separator": ";", "color_aug": True}
    assert dogs == {
        "is_dreambooth": False,
        "batch_size_per_device": 1,
        "num_train_images": 2,
        "num_reg_images": 0,
        "resolution": [64, 64],
        "enable_bucket": False,
        "min_bucket_reso": None,
        "max_bucket_reso": None,
        "tag_frequency": {"dogs.json": {"dog": 2, "runs": 2}},
        "bucket_info": None,
        "resize_interpolation": None,
        "subsets": [plain, plain | changed],
    }


@pytest.mark.parametrize(
    "lonely",
    [
        {"base_weights": ("base.safetensors",), "base_weights_multiplier": (0.5,)},
        {"network_weights": "first.safetensors", "dim_from_weights": True},
        {"reg_images": "reg", "prior_loss_weight": 0.5},
    ],
)
def test_settings_of_files_that_are_not_told_are_left_out(images: Path, lonely: dict[str, Any]) -> None:
    config = make_config({"images": str(images / "cats"), "rank": 3, "precision": "fp32"})
    plan, base = plan_run(config), BaseFacts("sd1", "epsilon", "model")
    settings = network_metadata(config.replaced(**lonely), plan, base, 0.0)["lyco_config"]
    assert parse_config(settings).rank == 3
    assert not any(name in settings for name in lonely)


def test_what_readers_look_for_beside_the_datasets_is_put_together(listed: TrainConfig) -> None:
    metadata = told(listed)
    assert of_kohya(metadata) == keys(ALWAYS, "datasets")
    # regularisation is left out; the second of a name has its number
    assert json.loads(metadata["ss_dataset_dirs"]) == {
        "cats": {"n_repeats": 2, "img_count": 3},
        "dogs.json": {"n_repeats": 1, "img_count": 1},
        "dogs.json (2)": {"n_repeats": 1, "img_count": 1},
    }
    frequency = json.loads(metadata["ss_tag_frequency"])
    assert frequency == {"cats": {"cat": 3, "sits": 1}, "reg": {}, "dogs.json": {"dog": 2, "runs": 2}}
    assert (metadata["ss_num_train_images"], metadata["ss_num_reg_images"]) == ("8", "2")


def test_batches_are_told_of_one_process(listed: TrainConfig, images: Path) -> None:
    cats, _ = json.loads(told(listed, processes=2)["ss_datasets"])
    assert cats["batch_size_per_device"] == 3
    flat = make_config(
        {"images": str(images / "cats"), "resolution": 64, "bucket_min": 32, "batch_size": 2}
    )
    metadata = told(flat.replaced(accumulation=5, precision="fp32"), processes=3)
    assert (metadata["ss_batch_size_per_device"], metadata["ss_total_batch_size"]) == ("2", "30")


def test_one_dataset_of_folders_has_flat_keys(images: Path) -> None:
    config = make_config(
        {
            "images": str(images / "cats"),
            "repeats": 2,
            "resolution": (96, 64),
            "bucket_min": 40,
            "bucket_max": 130,
            "bucket_step": 32,
            "bucket_upscale": False,
            "resize_interpolation": "lanczos",
            "precision": "fp32",
            "max_validation_steps": 3,
            "validation_split": 0.4,
            "validation_seed": 9,
        }
    )
    metadata = told(config, held_out=1)
    assert of_kohya(metadata) == keys(ALWAYS, FLAT)
    expected = {
        "ss_resolution": "(96, 64)",
        "ss_enable_bucket": "True",
        "ss_bucket_no_upscale": "True",
        "ss_min_bucket_reso": "32",
        "ss_max_bucket_reso": "160",
        "ss_resize_interpolation": "lanczos",
        "ss_num_validation_images": "1",
        "ss_validation_split": "0.4",
        "ss_validation_seed": "9",
        "ss_max_validation_steps": "3",
        "ss_validate_every_n_steps": "None",
        "ss_sd_scripts_commit_hash": "(unknown)",
        "ss_text_encoder_lr": "None",
        "ss_huber_c": "0.1",
        "ss_multires_noise_discount": "0.3",
        "ss_fp8_base_unet": "False",
    }
    assert {key: metadata[key] for key in expected} == expected
    # one of three is held out
    assert json.loads(metadata["ss_dataset_dirs"]) == {"cats": {"n_repeats": 2, "img_count": 2}}


def test_without_buckets_there_is_nothing_to_tell_of_them(images: Path) -> None:
    metadata = told(make_config({"images": str(images / "cats"), "buckets": False, "precision": "fp32"}))
    values = {key: metadata[f"ss_{key}"] for key in ("bucket_info", "min_bucket_reso", "bucket_no_upscale")}
    assert values == {"bucket_info": "null", "min_bucket_reso": "None", "bucket_no_upscale": "False"}


def test_further_resolutions_are_datasets(images: Path) -> None:
    values = {
        "images": str(images / "cats"),
        "resolution": 64,
        "bucket_min": 32,
        "extra_resolutions": (128,),
    }
    metadata = told(make_config({**values, "precision": "fp32"}))
    assert [one["resolution"] for one in json.loads(metadata["ss_datasets"])] == [[64, 64], [128, 128]]
    # each folder's captions count once, its images are shown at each size
    assert json.loads(metadata["ss_tag_frequency"]) == {"cats": {"cat": 1, "sits": 1}}
    assert list(json.loads(metadata["ss_dataset_dirs"])) == ["cats", "cats (2)"]
