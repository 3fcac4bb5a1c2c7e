"""What a network file says about itself, typed both ways.

safetensors holds text only. kohya's sd-scripts writes `str()` of Python's values, and JSON for
nested ones (`train_network.py`); Stability's ModelSpec 1.0.1 its own forms (`sai_model_spec.py`).
`KINDS` says for every documented key what is behind the text. Keys that are not in it stay text,
and so does a value that is not what its key promises (`ss_network_dim` is `Dynamic` after a resize).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import TypeAlias, cast

Value: TypeAlias = "str | int | float | bool | None | tuple[int, int] | list[Value] | dict[str, Value]"


class Kind(Enum):
    """What a value is behind its text."""

    TEXT = "text"
    INT = "whole number"
    FLOAT = "number"
    FLAG = "True or False"
    SIZE = "(width, height)"
    SIZE_BY_X = "WIDTHxHEIGHT"
    JSON = "JSON"


def _keys(prefix: str, names: str, kind: Kind) -> dict[str, Kind]:
    return {f"{prefix}{name}": kind for name in names.split()}


KINDS = MappingProxyType(
    {
        # identity and time
        **_keys("ss_", "output_name training_comment sd_scripts_commit_hash", Kind.TEXT),
        **_keys("ss_", "session_id steps epoch", Kind.INT),
        **_keys("ss_", "training_started_at training_finished_at", Kind.FLOAT),
        # network
        **_keys("ss_", "network_module", Kind.TEXT),
        **_keys("ss_", "network_dim", Kind.INT),
        **_keys("ss_", "network_alpha network_dropout scale_weight_norms", Kind.FLOAT),
        **_keys("ss_", "network_args", Kind.JSON),
        # optimisation
        **_keys("ss_", "learning_rate text_encoder_lr unet_lr max_grad_norm", Kind.FLOAT),
        **_keys("ss_", "optimizer lr_scheduler mixed_precision", Kind.TEXT),
        **_keys("ss_", "lr_warmup_steps max_train_steps num_epochs num_batches_per_epoch seed", Kind.INT),
        **_keys("ss_", "gradient_accumulation_steps", Kind.INT),
        **_keys("ss_", "gradient_checkpointing lowram full_fp16 fp8_base fp8_base_unet", Kind.FLAG),
        # loss and noise
        **_keys("ss_", "noise_offset adaptive_noise_scale min_snr_gamma ip_noise_gamma", Kind.FLOAT),
        **_keys("ss_", "multires_noise_discount huber_scale huber_c prior_loss_weight", Kind.FLOAT),
        **_keys("ss_", "multires_noise_iterations", Kind.INT),
        **_keys("ss_", "noise_offset_random_strength ip_noise_gamma_random_strength", Kind.FLAG),
        **_keys("ss_", "zero_terminal_snr debiased_estimation", Kind.FLAG),
        **_keys("ss_", "loss_type huber_schedule", Kind.TEXT),
        # captions and data
        **_keys("ss_", "caption_dropout_rate caption_tag_dropout_rate validation_split", Kind.FLOAT),
        **_keys("ss_", "caption_dropout_every_n_epochs max_token_length clip_skip", Kind.INT),
        **_keys("ss_", "num_train_images num_reg_images num_validation_images", Kind.INT),
        **_keys("ss_", "validation_seed max_validation_steps", Kind.INT),
        **_keys("ss_", "validate_every_n_epochs validate_every_n_steps", Kind.INT),
        **_keys("ss_", "face_crop_aug_range resize_interpolation", Kind.TEXT),
        **_keys("ss_", "cache_latents", Kind.FLAG),
        # base model
        **_keys("ss_", "base_model_version sd_model_name sd_model_hash new_sd_model_hash", Kind.TEXT),
        **_keys("ss_", "vae_name vae_hash new_vae_hash", Kind.TEXT),
        **_keys("ss_", "v2", Kind.FLAG),
        # datasets
        **_keys("ss_", "batch_size_per_device total_batch_size keep_tokens", Kind.INT),
        **_keys("ss_", "min_bucket_reso max_bucket_reso", Kind.INT),
        **_keys("ss_", "resolution", Kind.SIZE),
        **_keys("ss_", "color_aug flip_aug random_crop shuffle_caption", Kind.FLAG),
        **_keys("ss_", "enable_bucket bucket_no_upscale", Kind.FLAG),
        **_keys("ss_", "datasets dataset_dirs reg_dataset_dirs bucket_info tag_frequency", Kind.JSON),
        # SD3, Flux and later
        **_keys("ss_", "weighting_scheme timestep_sampling model_prediction_type model_type", Kind.TEXT),
        **_keys("ss_", "logit_mean logit_std mode_scale sigmoid_scale", Kind.FLOAT),
        **_keys("ss_", "discrete_flow_shift guidance_scale", Kind.FLOAT),
        **_keys("ss_", "apply_t5_attn_mask apply_lg_attn_mask", Kind.FLAG),
        # hashes, and what the WebUI's extensions add
        **_keys("sshs_", "model_hash legacy_hash", Kind.TEXT),
        **_keys("ssmd_", "cover_images", Kind.JSON),
        # ModelSpec
        **_keys(
            "modelspec.", "sai_model_spec architecture implementation implementation_version", Kind.TEXT
        ),
        **_keys("modelspec.", "title author description license tags merged_from date", Kind.TEXT),
        **_keys("modelspec.", "thumbnail usage_hint trigger_phrase preprocessor", Kind.TEXT),
        **_keys("modelspec.", "prediction_type timestep_range hash_sha256", Kind.TEXT),
        **_keys("modelspec.", "unet_dtype vae_dtype is_negative_embedding", Kind.TEXT),
        **_keys("modelspec.", "encoder_layer", Kind.INT),
        **_keys("modelspec.", "resolution", Kind.SIZE_BY_X),
    }
)
"""Every documented key. Keys beyond these are text."""

_NONE = "None"
_FLAGS = MappingProxyType({"true": True, "false": False})
_SIZE = re.compile(r"\(?\s*(\d{1,9})\s*(?:[,x]\s*(\d{1,9})\s*)?\)?")


def read_metadata_values(metadata: Mapping[str, str]) -> dict[str, Value]:
    """The values behind a header's metadata, in its order. Raises nothing; see `read_value`."""
    return {key: read_value(key, text) for key, text in metadata.items()}


def read_value(key: str, text: str) -> Value:
    """The value behind one text; the text itself where the key does not say or the text does not fit."""
    if text == _NONE and key.startswith("ss_"):
        return None
    kind = KINDS.get(key, Kind.TEXT)
    try:
        return _read(text, kind)
    except (ValueError, RecursionError):
        return text


def write_metadata_values(values: Mapping[str, Value]) -> dict[str, str]:
    """The texts to store, in the forms that sd-scripts writes.

    ModelSpec leaves absent values out, sd-scripts writes them as `None`.
    """
    return {
        key: write_value(key, value)
        for key, value in values.items()
        if value is not None or key.startswith("ss_")
    }


def write_value(key: str, value: Value) -> str:
    """One value as text: `str()` of it, JSON of what is nested."""
    if KINDS.get(key) is Kind.SIZE_BY_X and isinstance(value, tuple):
        return f"{value[0]}x{value[1]}"
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return str(value)


def _read(text: str, kind: Kind) -> Value:
    """Raises ValueError where the text is of another kind."""
    if kind is Kind.INT:
        return int(text)
    if kind is Kind.FLOAT:
        # kohya writes what it was given: `1` stays a whole number, so that it is written as `1` again
        return int(text) if text.lstrip("-").isdecimal() else _finite(text)
    if kind is Kind.FLAG:
        flag = _FLAGS.get(text.lower())
        if flag is None:
            raise ValueError(text)
        return flag
    if kind in (Kind.SIZE, Kind.SIZE_BY_X):
        match = _SIZE.fullmatch(text)
        if match is None:
            raise ValueError(text)
        return int(match[1]), int(match[2] or match[1])
    return cast("Value", json.loads(text)) if kind is Kind.JSON else text


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value
