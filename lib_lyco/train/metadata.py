"""What a trained file says about itself: kohya's `ss_*` keys and Stability's `modelspec.*`.

Names and forms are those of sd-scripts (`train_network.py`, `sai_model_spec.py`): every value a
string, `None` and `True` as Python writes them, nested values as JSON.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lib_lyco.errors import ConfigError
from lib_lyco.files.metadata import write_value
from lib_lyco.models.base import Prediction
from lib_lyco.naming.layer import Family
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.config_file import dump_values, parse_config
from lib_lyco.train.metadata_datasets import (
    datasets_metadata,
    interpolation,
    num_reg_images,
    num_train_images,
)
from lib_lyco.train.optimisers import find_recipe
from lib_lyco.train.option import Declaration, declarations
from lib_lyco.train.plan import Plan
from lib_lyco.train.seed import derived_seed

_PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
_ARCHITECTURES: Mapping[tuple[Family, Prediction], str] = {
    ("sd1", "epsilon"): "stable-diffusion-v1",
    ("sd1", "v"): "stable-diffusion-v1",
    ("sd2", "epsilon"): "stable-diffusion-v2-512",
    ("sd2", "v"): "stable-diffusion-v2-768-v",
    ("sdxl", "epsilon"): "stable-diffusion-xl-v1-base",
    ("sdxl", "v"): "stable-diffusion-xl-v1-base",
}
_VERSIONS: Mapping[Family, str] = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}
_LEAST = (
    "ss_v2",
    "ss_base_model_version",
    "ss_network_module",
    "ss_network_dim",
    "ss_network_alpha",
    "ss_network_args",
)
"""What sd-scripts keeps with `--no_metadata`: readers need it."""
_PLAIN_ARGS = (
    # written to ss_network_args under their own names, where they are set
    "preset",
    "rank_dropout",
    "module_dropout",
    "use_scalar",
    "full_matrix",
    "unbalanced_factorization",
    "rescaled",
    "train_norm",
    "down_lr_weight",
    "mid_lr_weight",
    "up_lr_weight",
    "blocks_lr_zero_threshold",
)
_LIST_ARGS = ("block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas")
_NO_COMMIT = "(unknown)"
"""What sd-scripts writes where it was not installed by git."""
_LEGACY_START, _LEGACY_LENGTH = 0x100000, 0x10000


@dataclass(frozen=True)
class FileFacts:
    """What a file says about another that it was trained with."""

    name: str
    hash: str
    """SHA-256, 64 hex."""
    legacy_hash: str
    """The host's old short hash."""


@dataclass(frozen=True)
class BaseFacts:
    """What a file says about the base model it was trained on."""

    family: Family
    prediction: Prediction
    name: str
    hash: str = ""
    """SHA-256 of the checkpoint, 64 hex; empty if there is no file."""
    legacy_hash: str = ""
    """The host's old short hash."""
    vae: FileFacts | None = None
    """The autoencoder's file, where it is not the checkpoint's own."""

    @property
    def version(self) -> str:
        """`ss_base_model_version`, as sd-scripts writes it."""
        known = _VERSIONS.get(self.family, self.family)
        return f"{known}_v" if self.prediction == "v" and self.family in ("sd1", "sd2") else known

    @property
    def architecture(self) -> str:
        """`modelspec.architecture` of a network for this base model."""
        return f"{_ARCHITECTURES.get((self.family, self.prediction), self.family)}/lora"


def file_facts(path: Path) -> FileFacts:
    """Reads a file's hashes."""
    digest, legacy = hashlib.sha256(), hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
        file.seek(_LEGACY_START)
        legacy.update(file.read(_LEGACY_LENGTH))
    return FileFacts(path.name, digest.hexdigest(), legacy.hexdigest()[:8])


def network_metadata(
    config: TrainConfig,
    plan: Plan,
    base: BaseFacts,
    started_at: float,
    processes: int = 1,
    num_validation: int = 0,
) -> dict[str, str]:
    """Everything that is known when a run starts; see `progress_metadata` for the rest.

    Args:
        config: The run's options.
        plan: Its images and steps.
        base: What it is trained on.
        started_at: Seconds since 1970.
        processes: How many train together.
        num_validation: Images that are held out.
    """
    values = {
        "ss_session_id": derived_seed("session", config.seed, str(started_at)) >> 31,
        "ss_training_started_at": started_at,
        "ss_output_name": config.name,
        "ss_training_comment": config.comment or None,
        "ss_sd_scripts_commit_hash": _NO_COMMIT,
        "lyco_config": _settings(config),
        **_network(config),
        **_optimisation(config, plan),
        **_objective(config),
        **_data(config, plan, num_validation),
        **datasets_metadata(config, plan, processes),
        **_base(base),
        **_modelspec(config, plan, base, started_at),
    }
    if not config.metadata:
        values = {key: values[key] for key in _LEAST}
    return {key: write_value(key, value) for key, value in values.items()}


def _settings(config: TrainConfig) -> str:
    """What decides the training, as TOML that `lyco train` reads; nothing of folders and machines, nor
    what has a meaning only beside them."""

    def is_told(declaration: Declaration) -> bool:
        value = getattr(config, declaration.name)
        texts = [
            text for text in (value if isinstance(value, tuple) else (value,)) if isinstance(text, str)
        ]
        is_path = any(sign in text for text in texts for sign in "/\\")
        return not (declaration.option.free or is_path or value == declaration.default)

    names = [one.name for one in declarations(TrainConfig) if is_told(one)]
    while True:
        text = dump_values(config, names)
        try:
            parse_config(text)
        except ConfigError as error:
            if error.where in names:
                names.remove(error.where)
                continue
        return text


def progress_metadata(step: int, epoch: int, now: float) -> dict[str, str]:
    """What changes from one saved file to the next."""
    return {"ss_steps": str(step), "ss_epoch": str(epoch), "ss_training_finished_at": str(now)}


def _listed(values: Sequence[float]) -> str:
    return ",".join(str(value) for value in values)


def _network(config: TrainConfig) -> dict[str, Any]:
    """A DyLoRA is written as a LoRA, with its scale folded into alpha, and says so: the name
    `dylora` would make readers correct what is already right."""
    low_rank = config.algo in ("lora", "locon", "dylora")
    plain = not (config.dora or config.tucker or config.train_norm)
    args: dict[str, Any] = {} if low_rank and plain else {"algo": config.algo}
    conv_alpha = config.alpha if config.conv_alpha is None else config.conv_alpha
    optional: tuple[tuple[str, Any, bool], ...] = (
        ("conv_dim", config.conv_rank_used, config.conv_rank_used > 0),
        ("conv_alpha", conv_alpha, config.conv_rank_used > 0),
        ("factor", config.factor, config.algo == "lokr"),
        ("decompose_both", config.decompose_both, config.decompose_both),
        ("dylora_block_size", config.block_size, config.algo == "dylora"),
        ("constraint", config.constraint, config.constraint > 0),
        ("use_tucker", config.tucker, config.tucker),
        ("rs_lora", config.rs_lora, config.rs_lora),
        ("dora_wd", config.dora, config.dora),
        ("wd_on_output", config.wd_on_output, config.dora),
        *((name, getattr(config, name), bool(getattr(config, name))) for name in _PLAIN_ARGS),
        *((name, _listed(getattr(config, name)), bool(getattr(config, name))) for name in _LIST_ARGS),
    )
    args |= {name: str(value) for name, value, is_set in optional if is_set}
    return {
        "ss_network_module": "lycoris.kohya" if "algo" in args else "networks.lora",
        "ss_network_dim": config.rank,
        "ss_network_alpha": config.alpha,
        "ss_network_dropout": config.dropout or None,
        "ss_network_args": args,
        "ss_scale_weight_norms": config.scale_weight_norms or None,
    }


def _optimisation(config: TrainConfig, plan: Plan) -> dict[str, Any]:
    recipe = find_recipe(config.optimizer_type)
    arguments = ",".join(f"{name}={value}" for name, value in config.optimiser_arguments.items())
    te_rates = config.te_learning_rate
    return {
        "ss_learning_rate": config.learning_rate,
        "ss_unet_lr": config.unet_learning_rate,
        "ss_text_encoder_lr": list(te_rates) if len(te_rates) > 1 else next(iter(te_rates), None),
        "ss_optimizer": f"{recipe.module}.{recipe.name}" + (f"({arguments})" if arguments else ""),
        "ss_lr_scheduler": config.scheduler,
        "ss_lr_warmup_steps": config.warmup_steps or config.warmup_share,
        "ss_max_train_steps": plan.total_steps,
        "ss_num_epochs": plan.epochs,
        "ss_num_batches_per_epoch": plan.order.num_batches(0),
        "ss_gradient_checkpointing": config.gradient_checkpointing,
        "ss_gradient_accumulation_steps": config.accumulation,
        "ss_max_grad_norm": config.max_grad_norm,
        "ss_seed": config.seed,
        "ss_lowram": False,
        "ss_mixed_precision": _PRECISIONS[config.precision],
        "ss_full_fp16": config.full_half and config.precision == "fp16",
        "ss_full_bf16": config.full_half and config.precision == "bf16",
        "ss_fp8_base": config.fp8_base,
        "ss_fp8_base_unet": False,
    }


def _objective(config: TrainConfig) -> dict[str, Any]:
    return {
        "ss_noise_offset": config.noise_offset or None,
        "ss_noise_offset_random_strength": config.noise_offset_random_strength,
        "ss_adaptive_noise_scale": config.adaptive_noise_scale or None,
        "ss_multires_noise_iterations": config.multires_noise_iterations or None,
        "ss_multires_noise_discount": config.multires_noise_discount,
        "ss_ip_noise_gamma": config.ip_noise_gamma or None,
        "ss_ip_noise_gamma_random_strength": config.ip_noise_gamma_random_strength,
        "ss_huber_schedule": config.huber_schedule,
        "ss_huber_c": config.huber_c,
        "ss_huber_scale": config.huber_scale,
        "ss_min_snr_gamma": config.min_snr_gamma or None,
        "ss_zero_terminal_snr": config.zero_terminal_snr,
        "ss_debiased_estimation": config.debiased_estimation_loss,
        "ss_loss_type": config.loss_type,
        "ss_prior_loss_weight": config.prior_loss_weight,
    }


def _data(config: TrainConfig, plan: Plan, num_validation: int) -> dict[str, Any]:
    held_out = config.validation_split > 0
    return {
        "ss_caption_dropout_rate": config.caption_dropout_rate,
        "ss_caption_dropout_every_n_epochs": config.caption_dropout_every_n_epochs,
        "ss_caption_tag_dropout_rate": config.caption_tag_dropout_rate,
        "ss_face_crop_aug_range": config.face_crop_aug_range,
        "ss_resize_interpolation": interpolation(config),
        "ss_max_token_length": config.max_token_length if config.max_token_length > 75 else None,
        "ss_clip_skip": config.clip_skip if config.clip_skip > 1 else None,
        "ss_cache_latents": config.latent_cache != "off",
        "ss_num_train_images": num_train_images(plan),
        "ss_num_reg_images": num_reg_images(plan),
        "ss_num_validation_images": num_validation,
        "ss_validation_split": config.validation_split,
        "ss_validation_seed": config.validation_seed if held_out else None,
        "ss_max_validation_steps": config.max_validation_steps,
        "ss_validate_every_n_epochs": config.validate_every_n_epochs or None,
        "ss_validate_every_n_steps": config.validate_every_n_steps or None,
    }


def _base(base: BaseFacts) -> dict[str, Any]:
    return {
        "ss_v2": base.family == "sd2",
        "ss_base_model_version": base.version,
        "ss_sd_model_name": base.name,
        **({"ss_sd_model_hash": base.legacy_hash, "ss_new_sd_model_hash": base.hash} if base.hash else {}),
        **(_vae(base.vae) if base.vae else {}),
    }


def _vae(vae: FileFacts) -> dict[str, Any]:
    return {"ss_vae_name": vae.name, "ss_vae_hash": vae.legacy_hash, "ss_new_vae_hash": vae.hash}


def _modelspec(config: TrainConfig, plan: Plan, base: BaseFacts, started_at: float) -> dict[str, Any]:
    width, height = config.resolution
    date = datetime.fromtimestamp(int(started_at), tz=timezone.utc)
    optional = {
        "modelspec.author": config.metadata_author,
        "modelspec.description": config.metadata_description,
        "modelspec.license": config.metadata_license,
        "modelspec.tags": config.metadata_tags,
        "modelspec.encoder_layer": str(config.clip_skip) if config.clip_skip > 1 else "",
    }
    return {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": base.architecture,
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models"
        if base.family == "sdxl"
        else "https://github.com/CompVis/stable-diffusion",
        "modelspec.title": config.metadata_title or config.name,
        "modelspec.resolution": f"{width}x{height}",
        "modelspec.date": date.strftime("%Y-%m-%dT%H:%M:%S"),
        "modelspec.prediction_type": base.prediction,
    } | {key: value for key, value in optional.items() if value}
