"""Presets: which layers are trained, and by which algorithm, in lycoris' words.

A preset names classes of the modules around a layer (`Transformer2DModel`) and names of layers. Classes
are told from a layer's name, so they are the same whoever supplies the base model; names may be the
diffusers ones (`down_blocks.0...`) or Stability's (`input_blocks.1...`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import toml

from lib_lyco.errors import ConfigError
from lib_lyco.train.layer import AlgoSettings
from lib_lyco.train.option import unknown
from lib_lyco.train.options.network import ALGOS, USED_BY, unused

_TRANSFORMERS = ("Transformer2DModel",)
_CONV_BLOCKS = ("ResnetBlock2D", "Downsample2D", "Upsample2D")
_TEXT = ("CLIPAttention", "CLIPSdpaAttention", "CLIPMLP")
_TIME = ("time_embedding.linear_1", "time_embedding.linear_2")
_ENDS = ("conv_in", "conv_out")
_CLASSES: Sequence[tuple[str, str, tuple[str, ...]]] = (
    # component, end of a module's path -> what its class is called by diffusers, Stability, sd-scripts
    ("unet", r"attentions\.\d+", ("Transformer2DModel", "SpatialTransformer")),
    ("unet", r"transformer_blocks\.\d+", ("BasicTransformerBlock",)),
    ("unet", r"attn[12]", ("Attention", "CrossAttention")),
    ("unet", r"ff", ("FeedForward",)),
    ("unet", r"ff\.net\.0", ("GEGLU",)),
    ("unet", r"resnets\.\d+", ("ResnetBlock2D", "ResBlock")),
    ("unet", r"downsamplers\.\d+", ("Downsample2D", "Downsample")),
    ("unet", r"upsamplers\.\d+", ("Upsample2D", "Upsample")),
    ("unet", r"(?:time|add)_embedding", ("TimestepEmbedding",)),
    ("te", r"layers\.\d+", ("CLIPEncoderLayer",)),
    ("te", r"self_attn", ("CLIPAttention", "CLIPSdpaAttention")),
    ("te", r"mlp", ("CLIPMLP",)),
)
_OVERRIDES: Mapping[str, str] = {
    # lycoris' word in an algorithm map -> ours
    "algo": "algo",
    "dim": "rank",
    "alpha": "alpha",
    "use_tucker": "tucker",
    "use_cp": "tucker",
    "use_conv_cp": "tucker",
    "use_scalar": "use_scalar",
    "weight_decompose": "dora",
    "dora_wd": "dora",
    "wd_on_output": "wd_on_output",
    "wd_on_out": "wd_on_output",
    "rs_lora": "rs_lora",
    "factor": "factor",
    "decompose_both": "decompose_both",
    "full_matrix": "full_matrix",
    "unbalanced_factorization": "unbalanced_factorization",
    "block_size": "block_size",
    "constraint": "constraint",
    "rescaled": "rescaled",
    "min_rank": "min_rank",
    "alpha_rank_scale": "rank_exponent",
    "sig_type": "sig_type",
    "use_data_init": "use_data_init",
    "train_on_input": "train_on_input",
    "dropout": "dropout",
    "rank_dropout": "rank_dropout",
    "module_dropout": "module_dropout",
}
_FIELDS: Mapping[str, str] = {
    # lycoris' word in a preset file -> our field
    "enable_conv": "enable_conv",
    "unet_target_module": "unet_classes",
    "unet_target_name": "unet_names",
    "text_encoder_target_module": "text_classes",
    "text_encoder_target_name": "text_names",
    "exclude_name": "exclude",
    "module_algo_map": "class_algos",
    "name_algo_map": "name_algos",
    "use_fnmatch": "by_fnmatch",
}


@dataclass(frozen=True)
class Override:
    """Settings of some layers that differ from the run's, by our names."""

    values: Mapping[str, Any]

    def applied(self, settings: AlgoSettings) -> AlgoSettings:
        """The settings with these in their place; those of another algorithm fall back to defaults."""
        defaults = AlgoSettings("", 1, 0.0)
        algo = self.values.get("algo", settings.algo)
        foreign = {
            name: getattr(defaults, name)
            for name, users in USED_BY.items()
            if hasattr(defaults, name) and name != "alpha" and algo not in users
        }
        return dataclasses.replace(settings, **{**foreign, **self.values})


def _no_overrides() -> dict[str, Override]:
    return {}


@dataclass(frozen=True)
class Preset:
    """Which layers, and what differs on some. The defaults are lycoris' `full`."""

    enable_conv: bool = True
    """Whether convolutions larger than 1x1 are trained."""
    unet_classes: tuple[str, ...] = (*_TRANSFORMERS, *_CONV_BLOCKS)
    unet_names: tuple[str, ...] = (*_ENDS, *_TIME)
    text_classes: tuple[str, ...] = _TEXT
    text_names: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    class_algos: Mapping[str, Override] = field(default_factory=_no_overrides)
    name_algos: Mapping[str, Override] = field(default_factory=_no_overrides)
    by_fnmatch: bool = False
    """Whether names are shell patterns of the whole name; else regular expressions from its start."""

    def takes(self, component: str, classes: Collection[str], names: Sequence[str]) -> bool:
        """Whether a layer is trained.

        Args:
            component: unet, te1, ...
            classes: Of the modules around the layer, and its own.
            names: The layer's names.
        """
        is_unet = component == "unet"
        wanted = self.unet_classes if is_unet else self.text_classes
        patterns = self.unet_names if is_unet else self.text_names
        if any(self.matches(pattern, names) for pattern in self.exclude):
            return False
        return not set(classes).isdisjoint(wanted) or any(self.matches(one, names) for one in patterns)

    def override(self, classes: Sequence[str], names: Sequence[str]) -> Override | None:
        """What differs on a layer: by its name, else by the innermost class around it."""
        for pattern, found in self.name_algos.items():
            if self.matches(pattern, names):
                return found
        inner = [self.class_algos[one] for one in reversed(classes) if one in self.class_algos]
        return inner[0] if inner else None

    def matches(self, pattern: str, names: Sequence[str]) -> bool:
        """Whether a pattern of this preset means a layer."""
        if self.by_fnmatch:
            return any(fnmatchcase(name, pattern) for name in names)
        return any(re.match(pattern, name) for name in names)

    @property
    def patterns(self) -> tuple[str, ...]:
        """All patterns of names, each of which should mean some layer."""
        return (*self.unet_names, *self.text_names, *self.exclude, *self.name_algos)


KOHYA = Preset(enable_conv=False, unet_classes=_TRANSFORMERS, unet_names=())
"""sd-scripts' choice (`networks/lora.py`)."""
KOHYA_CONV = Preset(unet_names=())
"""The same with a rank for convolutions."""
BUILT_IN: Mapping[str, Preset] = {
    "full": Preset(),
    "full-lin": Preset(enable_conv=False, unet_classes=(*_TRANSFORMERS, "ResnetBlock2D"), unet_names=_TIME),
    "attn-mlp": KOHYA,
    "attn-only": Preset(
        enable_conv=False,
        unet_classes=("CrossAttention",),
        unet_names=(),
        text_classes=("CLIPAttention", "CLIPSdpaAttention"),
    ),
    "unet-only": Preset(text_classes=()),
    "unet-transformer-only": Preset(
        enable_conv=False, unet_classes=_TRANSFORMERS, unet_names=(), text_classes=()
    ),
    "unet-convblock-only": Preset(unet_classes=_CONV_BLOCKS, unet_names=_ENDS, text_classes=()),
    # lycoris' own means no layer: its patterns match from the start of the path
    "ia3": Preset(
        enable_conv=False,
        unet_classes=(),
        unet_names=(r".*\.to_k$", r".*\.to_v$", r".*\.ff\.net\.2$"),
        text_classes=(),
        text_names=(r".*\.k_proj$", r".*\.v_proj$", r".*\.mlp\.fc2$"),
    ),
}


def read_preset(path: str) -> Preset:
    """A preset file of lycoris.

    Raises:
        ConfigError: It cannot be read, or holds what no preset has.
    """
    try:
        values = toml.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, toml.TomlDecodeError, IndexError) as error:
        raise ConfigError(
            "The preset cannot be read.",
            where=f"preset: {path}",
            got=str(error),
            expected="a TOML file, or one of " + ", ".join(BUILT_IN),
        ) from error
    fields: dict[str, Any] = {}
    for key, value in values.items():
        if key not in _FIELDS:
            raise unknown(f"preset: {key}", list(_FIELDS))
        fields[_FIELDS[key]] = _field_value(key, value)
    return Preset(**fields)


def _field_value(key: str, value: Any) -> Any:
    if key in ("enable_conv", "use_fnmatch"):
        kind, good = "true or false", isinstance(value, bool)
    elif key.endswith("_algo_map"):
        kind, good = "a table of tables", isinstance(value, dict)
    else:
        kind, good = "a list of texts", isinstance(value, list)
    if not good:
        raise ConfigError(
            "A preset's value is wrong.", where=f"preset: {key}", got=repr(value), expected=kind
        )
    if key.endswith("_algo_map"):
        return {name: _override(f"{key}.{name}", settings) for name, settings in value.items()}
    return tuple(str(one) for one in value) if isinstance(value, list) else value


def _override(where: str, settings: Mapping[str, Any]) -> Override:
    values: dict[str, Any] = {}
    hints = {one.name: one.default for one in dataclasses.fields(AlgoSettings)}
    for name, value in settings.items():
        if name not in _OVERRIDES:
            raise unknown(f"preset: {where}.{name}", list(_OVERRIDES))
        ours = _OVERRIDES[name]
        expected = {"rank": int, "alpha": float, "algo": str, "train_on_input": bool}.get(
            ours, type(hints[ours])
        )
        if expected is float and type(value) is int:
            value = float(value)
        if type(value) is not expected or (ours == "algo" and value not in ALGOS):
            raise ConfigError(
                "A preset's value is wrong.",
                where=f"preset: {where}.{name}",
                got=repr(value),
                expected=", ".join(ALGOS) if ours == "algo" else f"a value of kind {expected.__name__}",
            )
        values[ours] = value
    algo = values.get("algo")
    for name in values:
        if algo and name in USED_BY and algo not in USED_BY[name]:
            raise unused(name, algo)
    return Override(values)


def classes_around(component: str, path: str, own: str) -> tuple[str, ...]:
    """Classes of the modules a layer is in, from the outside, and the layer's own.

    Args:
        component: unet, te1, ...
        path: The layer's canonical path.
        own: The class of the layer's module.
    """
    parts = path.split(".")
    found: list[str] = []
    for end in range(1, len(parts)):
        prefix = ".".join(parts[:end])
        for place, pattern, classes in _CLASSES:
            if component.startswith(place) and re.search(rf"(?:^|\.){pattern}$", prefix):
                found += classes
    return (*found, own)
