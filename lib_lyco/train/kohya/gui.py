"""A configuration that kohya_ss' GUI has saved (JSON) becomes flags of sd-scripts, as the GUI makes them.

Read at kohya_ss 45088f0 (July 2026), `kohya_gui/lora_gui.py`: `train_model`. Older files lack fields or
have them under other types (numbers as text, switches as numbers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lib_lyco.errors import ConfigError
from lib_lyco.train.kohya.flags import flag_words
from lib_lyco.train.kohya.imported import Note
from lib_lyco.train.kohya.launch import launch_notes, launch_words
from lib_lyco.train.kohya.names import ALL_FLAGS, FLOATS, INTS, SWITCHES

GUI_MARKS = ("LoRA_type", "network_dim")
"""Fields that only files of the LoRA tab have; old ones lack the first."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_RENAMED = {
    "max_resolution": "resolution",
    "optimizer": "optimizer_type",
    "lora_network_weights": "network_weights",
    "sdxl_cache_text_encoder_outputs": "cache_text_encoder_outputs",
    "sdxl_no_half_vae": "no_half_vae",
}
_OLD_FIELDS = {
    "conv_dims": "conv_block_dims",
    "conv_alphas": "conv_block_alphas",
    "stop_text_encoder_training_pct": "stop_text_encoder_training",
}
"""Names that fields had in 2023."""
_ZERO_IS_NONE = _names(
    """
    adaptive_noise_scale clip_skip ip_noise_gamma max_timestep max_train_epochs max_train_steps
    min_snr_gamma min_timestep multires_noise_iterations noise_offset sample_every_n_epochs
    sample_every_n_steps save_every_n_epochs save_every_n_steps save_last_n_steps
    save_last_n_steps_state save_last_n_epochs save_last_n_epochs_state seed unet_lr
    v_pred_like_loss vae_batch_size network_dropout scale_weight_norms
    """
)
_ONLY_ORIGINAL = ("noise_offset", "adaptive_noise_scale", "noise_offset_random_strength")
_ONLY_MULTIRES = ("multires_noise_iterations", "multires_noise_discount")
_OTHER_MODELS = (
    "flux1_checkbox",
    "sd3_checkbox",
    "lumina_checkbox",
    "hunyuan_image_checkbox",
    "anima_checkbox",
)
_LYCORIS = {
    "LyCORIS/BOFT": "boft",
    "LyCORIS/Diag-OFT": "diag-oft",
    "LyCORIS/DyLoRA": "dylora",
    "LyCORIS/GLoRA": "glora",
    "LyCORIS/iA3": "ia3",
    "LyCORIS/LoCon": "locon",
    "LoCon": "locon",
    "LyCORIS/LoHa": "loha",
    "LyCORIS/LoKr": "lokr",
    "LyCORIS/Native Fine-Tuning": "full",
}
_MODULES = {
    "Standard": "networks.lora",
    "Kohya LoCon": "networks.lora",
    "Kohya DyLoRA": "networks.dylora",
    "Kohya LoHa": "networks.loha",
    "Kohya LoKr": "networks.lokr",
}
_LYCORIS_FIELDS = {
    "preset": "LyCORIS_preset",
    "constraint": "constrain",
    "block_size": "unit",
    **{
        name: name
        for name in (
            *("conv_dim", "conv_alpha", "rank_dropout", "module_dropout", "use_tucker", "use_scalar"),
            *("dora_wd", "train_norm", "factor", "use_cp", "decompose_both", "rescaled", "bypass_mode"),
            *("rank_dropout_scale", "train_on_input"),
        )
    },
}
_KOHYA_FIELDS = (
    *("down_lr_weight", "mid_lr_weight", "up_lr_weight", "block_lr_zero_threshold", "block_dims"),
    *("block_alphas", "conv_block_dims", "conv_block_alphas", "rank_dropout", "module_dropout"),
)
_FOR = {
    **dict.fromkeys(("factor", "decompose_both", "use_cp"), ("lokr",)),
    **dict.fromkeys(("constraint", "rescaled"), ("diag-oft",)),
    **dict.fromkeys(("bypass_mode", "dora_wd"), ("locon", "loha", "lokr")),
    **dict.fromkeys(
        ("conv_dim", "conv_alpha"), ("boft", "diag-oft", "dylora", "glora", "locon", "loha", "lokr")
    ),
    "block_size": ("dylora",),
    "train_on_input": ("ia3",),
}
"""Arguments that the page gives these algorithms of LyCORIS only."""
_LORA_PLUS = ("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio")


_READ = {
    *("LoRA_type", "epoch", "stop_text_encoder_training", "lr_warmup", "additional_parameters", "sdxl"),
    *("noise_offset_type", "use_wandb", "no_token_padding", "num_processes", "num_machines", "gpu_ids"),
    *("main_process_port", "multi_gpu", "num_cpu_threads_per_process", "extra_accelerate_launch_args"),
    *(*ALL_FLAGS, *_RENAMED, *_LYCORIS_FIELDS.values(), *_KOHYA_FIELDS, *_LORA_PLUS),
}


@dataclass(frozen=True)
class Translated:
    """What the GUI would start."""

    words: tuple[str, ...]
    """Flags of sd-scripts."""
    te_stop_share: float
    """Share of the steps after which text encoders stop; sd-scripts' trainer for networks lacks it."""
    warmup_share: float
    notes: tuple[Note, ...]


def gui_words(fields: Mapping[str, Any], where: str) -> Translated:
    """The flags that the GUI makes of its fields.

    Args:
        fields: The JSON's object.
        where: The file, for errors.

    Raises:
        ConfigError: The file is for another base model or another kind of network.
    """
    for name in _OTHER_MODELS:
        if _truth(fields.get(name)):
            raise ConfigError(
                "This configuration trains another base model.",
                where=f"{where}: {name}",
                expected="SD1, SD2 or SDXL",
            )
    notes = list(launch_notes(launch_words(fields)))
    fields = {_OLD_FIELDS.get(name, name): value for name, value in fields.items()}
    notes += _unread(fields)
    flags = _plain(fields)
    _lengths(fields, flags, notes)
    kind = str(fields.get("LoRA_type", "Standard"))
    flags["network_module"], flags["network_args"] = _network(fields, kind, where)
    if fields.get("optimizer_args"):
        flags["optimizer_args"] = str(fields["optimizer_args"]).replace('"', "").split()
    if fields.get("lr_scheduler_args"):
        flags["lr_scheduler_args"] = str(fields["lr_scheduler_args"]).replace('"', "").split()
    _rates(fields, flags)
    _prompts(flags, notes)
    if _truth(fields.get("use_wandb")):
        flags["log_with"] = "wandb"
    if _truth(fields.get("no_token_padding")):
        notes.append(Note("no_token_padding", "obsolete", "sd-scripts has switched it off."))
    if str(flags.get("dynamo_backend", "")).lower() == "no":
        del flags["dynamo_backend"]
    attention = str(fields.get("xformers", ""))
    flags["xformers"], flags["sdpa"] = attention in ("xformers", "True"), attention == "sdpa"
    more = str(fields.get("additional_parameters") or "").replace('"', "").split()
    words = [*flag_words(flags), *more]
    return Translated(
        words=tuple(words),
        te_stop_share=float(fields.get("stop_text_encoder_training") or 0) / 100,
        warmup_share=0.0 if flags.get("lr_warmup_steps") else float(fields.get("lr_warmup") or 0) / 100,
        notes=tuple(notes),
    )


def _unread(fields: Mapping[str, Any]) -> list[Note]:
    """What is set and nobody reads: the page's own fields, and those of other base models."""
    names = [name for name in fields if name not in _READ and _truth(fields[name])]
    if not names:
        return []
    return [
        Note("other fields", "obsolete", f"for the page itself or other base models: {', '.join(names)}.")
    ]


def _truth(value: Any) -> bool:
    return str(value).lower() not in ("", "0", "false", "none", "0.0")


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that are flags, typed; what the GUI leaves out for its value is left out."""
    kind = str(fields.get("noise_offset_type", "Original"))
    left_out = _ONLY_MULTIRES if kind == "Original" else _ONLY_ORIGINAL
    special = ("network_args", "optimizer_args", "lr_scheduler_args", "text_encoder_lr", "xformers")
    flags: dict[str, Any] = {}
    for field, value in fields.items():
        flag = _RENAMED.get(field, field)
        if flag not in ALL_FLAGS or flag in special or flag in left_out or value in ("", None, []):
            continue
        if flag in SWITCHES:
            flags[flag] = _truth(value)
        elif flag in _ZERO_IS_NONE and not _truth(value):
            continue
        else:
            flags[flag] = (
                int(float(value)) if flag in INTS else float(value) if flag in FLOATS else str(value)
            )
    return flags


def _lengths(fields: Mapping[str, Any], flags: dict[str, Any], notes: list[Note]) -> None:
    """Steps: the GUI counts images itself and gives sd-scripts a number; epochs say the same exactly."""
    if not flags.get("max_train_steps") and not flags.get("max_train_epochs"):
        flags["max_train_epochs"] = int(float(fields.get("epoch") or 1))
        notes.append(
            Note("epoch", "changed", "the run is as many epochs; the GUI computes steps, at times others.")
        )
    cycles = fields.get("lr_scheduler_num_cycles")
    if cycles in ("", None) and str(fields.get("lr_scheduler", "")) == "cosine_with_restarts":
        flags["lr_scheduler_num_cycles"] = int(float(fields.get("epoch") or 1))


def _prompts(flags: dict[str, Any], notes: list[Note]) -> None:
    """The GUI keeps the prompts themselves, and writes a file of them when it starts."""
    text = str(flags.get("sample_prompts", ""))
    if text.strip() and not text.strip().endswith((".txt", ".toml", ".json")):
        del flags["sample_prompts"]
        lines = " | ".join(text.split("\n"))
        notes.append(
            Note("sample_prompts", "attention", f"left out: write them into a file and name it: {lines}")
        )


def _rates(fields: Mapping[str, Any], flags: dict[str, Any]) -> None:
    """The GUI leaves out a part whose rate is 0 while the other's is not, and then trains only that."""
    unet = float(fields.get("unet_lr") or 0)
    given = fields.get("text_encoder_lr")
    rates = [float(one) for one in (given if isinstance(given, list) else [given or 0])]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if unet and not any(rates):
        flags["network_train_unet_only"] = True
    elif any(rates) and not unet:
        flags["network_train_text_encoder_only"] = True
    if any(rates):
        flags["text_encoder_lr"] = rates


def _network(fields: Mapping[str, Any], kind: str, where: str) -> tuple[str, list[str]]:
    if kind in _LYCORIS:
        algo = _LYCORIS[kind]
        given = {
            name: fields[field]
            for name, field in _LYCORIS_FIELDS.items()
            if algo in _FOR.get(name, (algo,)) and fields.get(field) not in ("", None)
        }
        return "lycoris.kohya", [f"algo={algo}", *(f"{name}={value}" for name, value in given.items())]
    if kind not in _MODULES:
        raise ConfigError(
            "This configuration trains a kind of network that is not known.",
            where=f"{where}: LoRA_type",
            got=kind,
            expected=", ".join((*_MODULES, *_LYCORIS)),
        )
    names = [*_KOHYA_FIELDS, *_LORA_PLUS]
    if kind != "Standard":
        names += ["conv_dim", "conv_alpha"]
    if kind == "Kohya DyLoRA":
        names.append("unit")
    if kind in ("Kohya LoHa", "Kohya LoKr"):
        names.append("use_tucker")
    if kind == "Kohya LoKr":
        names.append("factor")
    return _MODULES[kind], [f"{name}={fields[name]}" for name in names if _truth(fields.get(name))]
