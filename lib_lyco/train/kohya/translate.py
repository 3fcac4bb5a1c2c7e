"""Flags of sd-scripts become options of ours, with their meaning and sd-scripts' defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from lib_lyco.errors import ConfigError
from lib_lyco.train.config import make_config
from lib_lyco.train.kohya.imported import Draft, Imported
from lib_lyco.train.kohya.meanings import OBSOLETE, RENAMED, SAME, UNSUPPORTED
from lib_lyco.train.kohya.network_args import network_options
from lib_lyco.train.optimisers import find_recipe

Flags = Mapping[str, Any]
"""What was given, by flag."""

_TORCH_SCHEDULES = {
    "CosineAnnealingLR": "cosine",
    "CosineAnnealingWarmRestarts": "cosine_with_restarts",
    "LinearLR": "linear",
    "ConstantLR": "constant",
}
"""Classes of torch that lr_scheduler_type names most -> the nearest of ours."""

_REPOSITORY = re.compile(r"(?!\.)[\w.-]+/(?!.*\.(safetensors|ckpt|pt|bin)$)[\w.-]+")
"""A name at Hugging Face: two words and a slash, and no file's extension."""
_PRECISIONS = {"no": "fp32", "float": "fp32", "fp16": "fp16", "bf16": "bf16"}


def translate(flags: Flags) -> Imported:
    """Options with the meaning of what was given, and notes.

    Args:
        flags: By name, as `parse_flags` gives them.

    Raises:
        ConfigError: A value has no meaning here and leaving it out would train something else.
    """
    draft = Draft()
    for flag, value in flags.items():
        if flag in SAME:
            draft.options[flag] = value
        elif flag in RENAMED:
            draft.options[RENAMED[flag]] = value
        elif flag in OBSOLETE:
            draft.note(flag, "obsolete", OBSOLETE[flag])
        elif flag in UNSUPPORTED:
            draft.note(flag, "attention", UNSUPPORTED[flag])
    for rule in _RULES:
        rule(flags, draft)
    network_options(flags, draft)
    _drop_unused(draft)
    return draft.done()


def _drop_unused(draft: Draft) -> None:
    """sd-scripts passes over what has no effect; here it would be an error."""
    while True:
        try:
            make_config(draft.options)
        except ConfigError as error:
            lonely = "has no effect" in error.what or (error.expected or "").startswith("nothing without")
            if error.where not in draft.options or not lonely:
                return  # told by whoever makes the config
            value = draft.options.pop(error.where)
            draft.note(
                error.where, "obsolete", f"{value!r} had no effect and is left out; {error.expected}."
            )
        else:
            return


def _default(draft: Draft, flag: str, option: str, value: Any) -> None:
    """sd-scripts' default of a flag that was not given, where ours is another."""
    if option not in draft.options:
        draft.options[option] = value
        draft.note(flag, "default", f"not given; sd-scripts' default {value!r} is written as {option}.")


def _model(flags: Flags, draft: Draft) -> None:
    name = str(flags.get("pretrained_model_name_or_path", ""))
    if _REPOSITORY.fullmatch(name):
        draft.note(
            "pretrained_model_name_or_path",
            "attention",
            f"{name} is not downloaded: name the model's file or folder.",
        )
    if flags.get("v2"):
        draft.options["base_family"] = "sd2"
    if flags.get("v_parameterization"):
        draft.options["prediction"] = "v"
    draft.options["precision"] = _PRECISIONS[
        _one_of(flags, "mixed_precision", "no", ("no", "fp16", "bf16"))
    ]
    if flags.get("full_fp16") or flags.get("full_bf16"):
        draft.options["full_half"] = True
    if flags.get("zero_terminal_snr"):
        draft.options["zero_terminal_snr_weights"] = "kohya"


def _one_of(flags: Flags, flag: str, default: str, choices: tuple[str, ...]) -> str:
    value = str(flags.get(flag, default))
    if value not in choices:
        raise ConfigError(
            "A flag of sd-scripts has a value that cannot work.",
            where=flag,
            got=repr(value),
            expected="one of " + ", ".join(choices),
        )
    return value


def _data(flags: Flags, draft: Draft) -> None:
    if "dataset_repeats" in flags and ("in_json" in flags or "dataset_config" in flags):
        draft.options["repeats"] = float(flags["dataset_repeats"])
    elif "dataset_repeats" in flags:
        draft.note("dataset_repeats", "obsolete", "folders have numbers of their own.")
    extension = flags.get("caption_extension") or flags.get("caption_extention")
    if extension:
        draft.options["caption_extension"] = extension if extension.startswith(".") else f".{extension}"
    else:
        draft.note(
            "caption_extension",
            "changed",
            "not given; sd-scripts reads only .caption then and trains without captions in silence. "
            "Both .txt and .caption are looked for here.",
        )
    draft.note(
        "allow_untagged",
        "default",
        "images without captions stop the run unless this is set; sd-scripts trains them in silence.",
    )
    if "dataset_config" not in flags and "enable_bucket" not in flags:
        _default(draft, "enable_bucket", "buckets", False)


def _images(flags: Flags, draft: Draft) -> None:
    if "resolution" in flags:
        sides = [int(side) for side in str(flags["resolution"]).split(",")]
        draft.options["resolution"] = tuple(
            _in_eights(draft, "resolution", side) for side in (sides[0], sides[-1])
        )
    if "bucket_reso_steps" in flags:
        step = _in_eights(draft, "bucket_reso_steps", flags["bucket_reso_steps"])
        draft.options["bucket_step"] = step
    if flags.get("bucket_no_upscale"):
        draft.options["bucket_upscale"] = False
    if flags.get("color_aug"):
        draft.options["color_aug"] = "kohya"
    if "face_crop_aug_range" in flags:
        draft.options["face_crop_aug_range"] = tuple(
            float(one) for one in str(flags["face_crop_aug_range"]).split(",")
        )
    if "resize_interpolation" in flags:
        names = {"linear": "bilinear", "cubic": "bicubic"}
        draft.options["resize_interpolation"] = names.get(
            flags["resize_interpolation"], flags["resize_interpolation"]
        )
    draft.options["crop_conditioning"] = "kohya"


def _in_eights(draft: Draft, flag: str, pixels: int) -> int:
    """A latent has 8 pixels; sd-scripts cuts what does not fit."""
    fitting = max(8, pixels // 8 * 8)
    if fitting != pixels:
        draft.note(flag, "changed", f"{fitting} instead of {pixels}: sizes are multiples of 8.")
    return fitting


def _masks(flags: Flags, draft: Draft) -> None:
    if "conditioning_data_dir" in flags and flags.get("masked_loss"):
        draft.options["mask_folder"] = flags["conditioning_data_dir"]
    elif "conditioning_data_dir" in flags:
        draft.note("conditioning_data_dir", "attention", "left out: without masked_loss nobody reads it.")


def _caches(flags: Flags, draft: Draft) -> None:
    if flags.get("cache_latents_to_disk"):
        draft.options["latent_cache"] = "disk"
    elif any(flags.get(flag) for flag in ("color_aug", "random_crop", "face_crop_aug_range")):
        draft.options["latent_cache"] = "off"
    elif not flags.get("cache_latents") and "dataset_config" not in flags:
        draft.note(
            "cache_latents", "changed", "not given; latents are kept in memory all the same, for speed."
        )
    if flags.get("cache_text_encoder_outputs_to_disk"):
        draft.options["text_cache"] = "disk"
    elif flags.get("cache_text_encoder_outputs"):
        draft.options["text_cache"] = "memory"
    if flags.get("cache_text_encoder_outputs") and not flags.get("network_train_unet_only"):
        draft.options["te_learning_rate"] = (0.0,)
        draft.note(
            "cache_text_encoder_outputs",
            "changed",
            "te_learning_rate is 0: cached texts cannot be learned.",
        )


def _texts(flags: Flags, draft: Draft) -> None:
    draft.options["max_token_length"] = flags.get("max_token_length", 75)
    draft.options["long_captions"] = "kohya"
    if flags.get("weighted_captions"):
        draft.options["weighted_captions"] = "kohya"


def _length(flags: Flags, draft: Draft) -> None:
    if "max_train_epochs" in flags:
        if "max_train_steps" in flags:
            draft.note("max_train_steps", "obsolete", "max_train_epochs overrides it, as in sd-scripts.")
    elif "max_train_steps" in flags:
        draft.options["max_steps"] = flags["max_train_steps"]
    else:
        _default(draft, "max_train_steps", "max_steps", 1600)
    workers = flags.get("max_data_loader_n_workers", 8)
    draft.options["workers"] = min(int(workers), 64)
    if "seed" not in flags:
        draft.note("seed", "default", "not given; sd-scripts draws one anew each time, here it is 0.")


def _rates(flags: Flags, draft: Draft) -> None:
    _default(draft, "learning_rate", "learning_rate", 2e-6)
    if "text_encoder_lr" in flags:
        draft.options["te_learning_rate"] = tuple(flags["text_encoder_lr"])
    if flags.get("network_train_unet_only"):
        draft.options["te_learning_rate"] = (0.0,)
    if flags.get("network_train_text_encoder_only"):
        draft.options["unet_learning_rate"] = 0.0


def _schedule(flags: Flags, draft: Draft) -> None:
    name = _schedule_name(flags, draft)
    for flag, steps, share in (
        ("lr_warmup_steps", "warmup_steps", "warmup_share"),
        ("lr_decay_steps", "decay_steps", "decay_share"),
    ):
        value = float(flags.get(flag, 0))
        if 0 < value < 1:
            draft.options[share] = value
        elif value:
            draft.options[steps] = int(value)
    if name.startswith("adafactor"):
        name = "adafactor"
    if name == "constant" and flags.get("lr_warmup_steps"):
        name = "constant_with_warmup"
        draft.note(
            "lr_scheduler",
            "changed",
            "constant has no warmup (sd-scripts stops); constant_with_warmup has.",
        )
    draft.options["scheduler"] = name
    if name == "piecewise_constant":
        rules = [one for one in flags.get("lr_scheduler_args", ()) if one.startswith("step_rules=")]
        if rules:
            draft.options["scheduler_rules"] = rules[0].partition("=")[2]
    elif flags.get("lr_scheduler_args") and "lr_scheduler_type" not in flags:
        draft.note("lr_scheduler_args", "attention", "left out: the schedule has options of its own.")
    if "lr_scheduler" not in flags and "lr_scheduler_type" not in flags:
        draft.note("lr_scheduler", "default", "not given; sd-scripts' default constant is written.")


def _schedule_name(flags: Flags, draft: Draft) -> str:
    kind = str(flags.get("lr_scheduler_type", "")).rpartition(".")[2]
    if not kind:
        return str(flags.get("lr_scheduler", "constant"))
    if kind not in _TORCH_SCHEDULES:
        raise ConfigError(
            "Schedules that are foreign Python classes are not run.",
            where="lr_scheduler_type",
            got=kind,
            expected="lr_scheduler with one of the built-in names, or " + ", ".join(_TORCH_SCHEDULES),
            remedy="Take the nearest of lr_scheduler's, with lr_warmup_steps and lr_scheduler_num_cycles.",
        )
    near = _TORCH_SCHEDULES[kind]
    arguments = " ".join(flags.get("lr_scheduler_args", ()))
    draft.note(
        "lr_scheduler_type", "attention", f"{near} over the whole run is written for {kind} {arguments}."
    )
    return near


def _optimiser(flags: Flags, draft: Draft) -> None:
    name = str(flags.get("optimizer_type", ""))
    legacy = [
        (flag, kind)
        for flag, kind in (("use_8bit_adam", "AdamW8bit"), ("use_lion_optimizer", "Lion"))
        if flags.get(flag)
    ]
    for flag, kind in legacy:
        if name and name.lower() != kind.lower():
            raise ConfigError(
                "Two optimisers are asked for.",
                where=flag,
                got=f"{flag} and optimizer_type {name}",
                remedy="Remove one of the two.",
            )
        name = kind
        draft.note(flag, "changed", f"the old name of optimizer_type {kind}.")
    if name:
        draft.options["optimizer_type"] = name
    if "optimizer_args" in flags:
        draft.options["optimizer_args"] = tuple(flags["optimizer_args"])
    if name.lower() == "adafactor":
        _adafactor(draft)
    elif name and find_recipe(name).one_rate:
        _one_rate(name, draft)


def _adafactor(draft: Draft) -> None:
    """relative_step is on unless it is switched off, and decides over schedule and rates."""
    texts: tuple[str, ...] = draft.options.get("optimizer_args", ())
    given = {
        name.strip(): value.strip().lower() for name, _, value in (one.partition("=") for one in texts)
    }
    if given.get("relative_step", "true") != "true":
        if given.get("warmup_init", "false") != "true":
            return
        kept = (one for one in texts if not one.strip().startswith("relative_step"))
        draft.options["optimizer_args"] = (*kept, "relative_step=True")
        draft.note("optimizer_args", "changed", "relative_step is on, because warmup_init is.")
    schedule = draft.options["scheduler"]
    if schedule == "adafactor":
        return
    draft.options["scheduler"] = "adafactor"
    for option in ("warmup_steps", "warmup_share", "decay_steps", "decay_share"):
        draft.options.pop(option, None)
    draft.note(
        "lr_scheduler",
        "changed",
        f"adafactor for {schedule}: with relative_step, on unless optimizer_args has relative_step=False, "
        "AdaFactor finds its learning rates itself and all that are given are ignored.",
    )


def _one_rate(name: str, draft: Draft) -> None:
    """What finds its step size itself allows one learning rate; its package stops at several."""
    unet = draft.options.get("unet_learning_rate")
    given = [draft.options["learning_rate"] if unet is None else unet]
    given += draft.options.get("te_learning_rate") or [draft.options["learning_rate"]]
    rates = sorted({rate for rate in given if rate}, reverse=True)
    if len(rates) < 2:
        return
    draft.options["learning_rate"] = rates[0]
    if unet:
        draft.options["unet_learning_rate"] = rates[0]
    if "te_learning_rate" in draft.options:
        draft.options["te_learning_rate"] = tuple(
            rates[0] if rate else 0.0 for rate in draft.options["te_learning_rate"]
        )
    told = ", ".join(f"{rate:g}" for rate in rates)
    draft.note("learning_rate", "changed", f"{rates[0]:g} everywhere for {told}: {name} allows one.")


def _saving(flags: Flags, draft: Draft) -> None:
    draft.options["name"] = flags.get("output_name", "last")
    draft.options["overwrite"] = True
    draft.note("output_name", "default", "older files of this name are replaced, as sd-scripts does.")
    if "sample_prompts" in flags:
        draft.options.setdefault("sample_sampler", "ddim")
    draft.options["save_precision"] = _PRECISIONS.get(str(flags.get("save_precision", "float")), "fp32")
    if "save_precision" not in flags:
        draft.note("save_precision", "default", "not given; sd-scripts writes fp32 then, twice as large.")
    for flag in ("save_last_n_epochs_state", "save_last_n_steps_state"):
        if flag in flags and not flags.get("save_state"):
            del draft.options[flag]
            draft.note(flag, "obsolete", "without save_state there are no states to count.")
    if flags.get("no_metadata"):
        draft.options["metadata"] = False
    kind = flags.get("save_model_as", "safetensors")
    if kind != "safetensors":
        draft.note("save_model_as", "changed", f"{kind} can hold code; safetensors is written.")


_RULES: tuple[Callable[[Flags, Draft], None], ...] = (
    *(_model, _data, _images, _masks, _caches, _texts, _length, _rates, _schedule, _optimiser, _saving),
)
