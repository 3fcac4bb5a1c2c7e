"""Every training option as a form needs it, made from its one declaration."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from lib_lyco.studio.titles import TITLES
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.optimisers import OPTIMISERS, find_recipe
from lib_lyco.train.option import Declaration, declarations
from lib_lyco.train.options.network import USED_BY
from lib_lyco.train.options.optimisation import SHRINKABLE, UP_FACTORS

Installed = Callable[[str], bool]
"""Whether a module can be imported."""

USES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **USED_BY,
        "scale_weight_norms": SHRINKABLE,
        **dict.fromkeys(
            ("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio"), UP_FACTORS
        ),
    }
)
"""The algorithms on which an option has an effect; options that are not here act on all."""

_WAVES = ("cosine_with_min_lr", "warmup_stable_decay")
_HUBER = ("huber", "smooth_l1")
NEEDS: Mapping[str, tuple[str, tuple[Any, ...]]] = MappingProxyType(
    {
        "wd_on_output": ("dora", ()),
        "dim_from_weights": ("network_weights", ()),
        "base_weights_multiplier": ("base_weights", ()),
        "bypass_mode": ("layer_math", ("lycoris",)),
        "prior_loss_weight": ("reg_images", ()),
        "reg_prior_prediction": ("reg_images", ()),
        "decay_steps": ("scheduler", ("warmup_stable_decay",)),
        "decay_share": ("scheduler", ("warmup_stable_decay",)),
        "scheduler_cycles": ("scheduler", ("cosine_with_restarts", *_WAVES)),
        "scheduler_power": ("scheduler", ("polynomial",)),
        "scheduler_timescale": ("scheduler", ("inverse_sqrt",)),
        "scheduler_min_ratio": ("scheduler", _WAVES),
        "scheduler_rules": ("scheduler", ("piecewise_constant",)),
        "token_warmup_min": ("token_warmup_step", ()),
        "noise_offset_random_strength": ("noise_offset", ()),
        "adaptive_noise_scale": ("noise_offset", ()),
        "multires_noise_discount": ("multires_noise_iterations", ()),
        "ip_noise_gamma_random_strength": ("ip_noise_gamma", ()),
        "timestep_mean": ("timestep_sampling", ("logit_normal",)),
        "timestep_scale": ("timestep_sampling", ("logit_normal", "mode")),
        "zero_terminal_snr_weights": ("zero_terminal_snr", ()),
        "huber_schedule": ("loss_type", _HUBER),
        "huber_c": ("loss_type", _HUBER),
        "huber_scale": ("loss_type", _HUBER),
        "prior_caption": ("prior_prediction_weight", ()),
        "ema_file": ("ema_decay", ()),
        "save_last_n_epochs_state": ("save_state", ()),
        "save_last_n_steps_state": ("save_state", ()),
        "sample_every_n_epochs": ("sample_prompts", ()),
        "sample_every_n_steps": ("sample_prompts", ()),
        "sample_at_first": ("sample_prompts", ()),
        "log_tracker_config": ("log_with", ("wandb", "all")),
        "wandb_run_name": ("log_with", ("wandb", "all")),
        "wandb_key_file": ("log_with", ("wandb", "all")),
        **dict.fromkeys(
            (
                "comment",
                *(f"metadata_{one}" for one in ("title", "author", "description", "license", "tags")),
            ),
            ("metadata", ()),
        ),
    }
)
"""Options without an effect unless another one has one of some values; where none is named, any but
"", 0 and off."""

_SUGGESTED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"optimizer_type": OPTIMISERS, "background": ("white", "black", "grey")}
)
_LOGGERS = {"tensorboard": ("tensorboard",), "wandb": ("wandb",), "all": ("tensorboard", "wandb")}


def describe_form(installed: Installed | None = None) -> list[Mapping[str, Any]]:
    """All options in their groups: [{id, title, options}].

    Args:
        installed: Whether a module can be imported; None asks this Python.
    """
    found = {one.name: one for one in declarations(TrainConfig)}
    check = installed or is_installed
    return [
        {
            "id": title.lower().replace(" ", "_"),
            "title": title,
            "options": [_describe(found[name], text, check) for name, text in options.items()],
        }
        for title, options in TITLES.items()
    ]


def group_of(option: str) -> str:
    """The title of the group in which users find an option; "" if it is none."""
    return next((title for title, options in TITLES.items() if option in options), "")


def title_of(option: str) -> str:
    """What an option is called for people; its name if it is none of ours."""
    return next((options[option] for options in TITLES.values() if option in options), option)


def _describe(declared: Declaration, title: str, installed: Installed) -> Mapping[str, Any]:
    option, default = declared.option, declared.default
    return {
        "name": declared.name,
        "title": title,
        "kind": declared.kind.__name__,
        "item": declared.item.__name__ if declared.item else None,
        "length": declared.length,
        "optional": declared.optional,
        "default": list(default) if isinstance(default, tuple) else default,
        "low": option.low,
        "high": option.high,
        "choices": list(option.choices),
        "suggestions": list(_SUGGESTED.get(declared.name, ())),
        "multiple_of": option.multiple_of,
        "help": option.help,
        "uses": list(USES[declared.name]) if declared.name in USES else None,
        "needs": _need(declared.name),
        "missing": _missing(declared.name, installed),
    }


def _need(name: str) -> Mapping[str, Any] | None:
    if name not in NEEDS:
        return None
    option, values = NEEDS[name]
    return {"option": option, "values": list(values)}


def _missing(name: str, installed: Installed) -> Mapping[str, str]:
    """The values of an option whose package is not installed -> the command that installs it."""
    if name == "optimizer_type":
        recipes = {one: find_recipe(one) for one in OPTIMISERS}
        return {
            one: install_command(recipe.package)
            for one, recipe in recipes.items()
            if recipe.package and not installed(recipe.module.split(".")[0])
        }
    if name == "log_with":
        lacking = {one: [p for p in packages if not installed(p)] for one, packages in _LOGGERS.items()}
        return {one: install_command(*packages) for one, packages in lacking.items() if packages}
    return {}


def install_command(*packages: str) -> str:
    """The command that installs packages where this program can import them."""
    return f'"{sys.executable}" -m pip install {" ".join(packages)}'


def is_installed(module: str) -> bool:
    """Whether this Python has a module; it is not imported."""
    return importlib.util.find_spec(module) is not None
