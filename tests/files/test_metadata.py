"""Metadata against what sd-scripts does with its values: `str()` of each, `json.dumps` of the nested."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lyco.files.metadata import (
    KINDS,
    Value,
    read_metadata_values,
    read_value,
    write_metadata_values,
    write_value,
)

NESTED: dict[str, Value] = {
    "ss_network_args": {"algo": "loha", "conv_dim": "4", "preset": "full"},
    "ss_dataset_dirs": {"10_名前": {"n_repeats": 10, "img_count": 20}},
    "ss_tag_frequency": {"10_名前": {"1girl": 20, 'a "quoted" tag': 1}},
    "ss_bucket_info": {
        "buckets": {"0": {"resolution": [512, 768], "count": 20}},
        "mean_img_ar_error": 0.0123,
    },
    "ss_datasets": [{"is_dreambooth": True, "subsets": [{"caption_prefix": None}]}],
}
PLAIN: dict[str, Value] = {
    "ss_session_id": 2719331,
    "ss_training_started_at": 1690000000.123,
    "ss_output_name": "my style",
    "ss_learning_rate": 0.0001,
    "ss_unet_lr": 1e-05,
    "ss_text_encoder_lr": None,
    "ss_network_dim": 32,
    "ss_network_alpha": 16.0,
    "ss_min_snr_gamma": 5,
    "ss_resolution": (512, 768),
    "ss_v2": False,
    "ss_cache_latents": True,
    "ss_clip_skip": None,
    "ss_seed": -1,
    "ss_optimizer": "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1)",
}


def as_sd_scripts_writes_it() -> dict[str, str]:
    """train_network.py: nested values are dumped where they are collected, then `str` of all."""
    collected = {**PLAIN, **{key: json.dumps(value) for key, value in NESTED.items()}}
    return {key: str(value) for key, value in collected.items()}


def test_values_are_read_back_from_sd_scripts_text() -> None:
    values = read_metadata_values(as_sd_scripts_writes_it())
    assert values == {**PLAIN, **NESTED}
    for key, value in PLAIN.items():
        assert type(values[key]) is type(value)


def test_values_are_written_as_sd_scripts_writes_them() -> None:
    assert write_metadata_values({**PLAIN, **NESTED}) == as_sd_scripts_writes_it()


def test_modelspec_has_its_own_forms() -> None:
    texts = {"modelspec.resolution": "512x768", "modelspec.encoder_layer": "2", "modelspec.title": "None"}
    values = read_metadata_values(texts)
    assert values == {
        "modelspec.resolution": (512, 768),
        "modelspec.encoder_layer": 2,
        "modelspec.title": "None",
    }
    assert write_metadata_values(values) == texts
    assert write_metadata_values({"modelspec.author": None, "ss_vae_name": None}) == {"ss_vae_name": "None"}


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", (512, 512)),
        ("512,768", (512, 768)),
        ("(512, 768)", (512, 768)),
        ("[512, 768]", "[512, 768]"),
    ],
)
def test_sizes_of_older_files_are_read(text: str, size: Value) -> None:
    assert read_value("ss_resolution", text) == size


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("ss_network_dim", "Dynamic"),
        ("ss_v2", "maybe"),
        ("ss_bucket_info", "{broken"),
        ("ss_tag_frequency", "[" * 100_000),
        ("ss_learning_rate", ""),
        ("unheard_of", "12"),
        ("ss_unheard_of", "True"),
    ],
)
def test_what_does_not_fit_stays_text_and_is_written_unchanged(key: str, text: str) -> None:
    assert read_value(key, text) == text
    assert write_value(key, text) == text


def test_flags_of_ai_toolkit_are_read() -> None:
    assert read_value("ss_v2", "true") is True


@given(st.sampled_from(sorted(KINDS)), st.text(max_size=40))
def test_any_text_is_read_without_an_error_and_text_is_never_lost(key: str, text: str) -> None:
    value = read_value(key, text)
    if isinstance(value, str) and value == text:
        assert write_value(key, value) == text
