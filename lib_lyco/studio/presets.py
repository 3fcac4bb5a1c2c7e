"""Presets: by base model and memory, the documents' recipes, and those that the user keeps.

A preset says how to train, never what: image folders, the base model, names and texts of the user's stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lib_lyco.errors import ConfigError, FileError, one_line
from lib_lyco.files.replacing import replace_file
from lib_lyco.naming.layer import Family
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.config_file import dump_values, load_config
from lib_lyco.train.option import declarations

PERSONAL = frozenset(
    (
        *("allow_untagged", "base_model", "base_weights", "base_weights_multiplier", "cache_folder"),
        *("caption_prefix", "caption_suffix", "class_tokens", "comment", "dataset_config", "images"),
        *("log_prefix", "log_tracker_config", "log_tracker_name", "logging_dir", "mask_folder"),
        *("metadata_author", "metadata_description", "metadata_file", "metadata_license"),
        *("metadata_tags", "metadata_title"),
        *("name", "network_weights", "output", "overwrite", "prior_caption", "reg_images", "resume"),
        *("sample_prompts", "vae", "validation_images", "wandb_key_file", "wandb_run_name"),
    )
)
"""What a preset leaves alone."""

_Values = Mapping[str, Any]


@dataclass(frozen=True)
class Preset:
    """How to train."""

    id: str
    title: str
    group: str
    about: str
    values: _Values
    own: bool = False
    """Whether it is the user's, who may remove it."""


_FAMILIES: Mapping[Family, str] = MappingProxyType({"sd1": "SD1", "sd2": "SD2", "sdxl": "SDXL"})
_SIDES: Mapping[Family, int] = MappingProxyType({"sd1": 512, "sd2": 768, "sdxl": 1024})
_BATCHES: Mapping[Family, Mapping[int, int]] = MappingProxyType(
    {
        "sd1": {6: 1, 8: 2, 12: 4, 16: 6, 24: 8},
        "sd2": {6: 1, 8: 1, 12: 2, 16: 4, 24: 6},
        "sdxl": {6: 1, 8: 1, 12: 1, 16: 2, 24: 4},
    }
)
"""Family -> memory in GB -> batch size."""
_CHECKPOINTED: Mapping[Family, int] = MappingProxyType({"sd1": 6, "sd2": 8, "sdxl": 24})
"""Up to how many GB activations are computed twice, in place of being kept."""


def built_in() -> list[Preset]:
    """The presets that come with the program."""
    return [*_by_memory(), *RECIPES]


def _by_memory() -> Iterator[Preset]:
    for family, title in _FAMILIES.items():
        for memory, batch in _BATCHES[family].items():
            yield Preset(
                id=f"{family}-{memory}",
                title=f"{title}, {memory} GB",
                group=title,
                about=_about(family, memory),
                values=_memory_values(family, memory, batch),
            )


def _about(family: Family, memory: int) -> str:
    checkpointed = ", gradient checkpointing" if memory <= _CHECKPOINTED[family] else ""
    quantised = ", the base model in 8 bits" if family == "sdxl" and memory <= 8 else ""
    return f"Batches of {_BATCHES[family][memory]} at {_SIDES[family]} pixels{checkpointed}{quantised}."


def _memory_values(family: Family, memory: int, batch: int) -> _Values:
    side = _SIDES[family]
    values: dict[str, Any] = {
        "base_family": family,
        "resolution": (side, side),
        "batch_size": batch,
        "gradient_checkpointing": memory <= _CHECKPOINTED[family],
        "latent_cache": "disk" if memory <= 8 else "memory",
        "min_snr_gamma": 5.0,
        "te_learning_rate": (0.0,) if family == "sdxl" else (5e-5,),
    }
    if family == "sdxl":
        values["bucket_max"] = 2048
        # base weights in 8 bits need a compute dtype that is smaller than theirs
        values |= {"fp8_base": True, "precision": "bf16"} if memory <= 8 else {}
    if memory <= 8:
        values["optimizer_type"] = "AdamW8bit"
    return values


def _recipe(name: str, title: str, about: str, **values: Any) -> Preset:
    return Preset(name, title, "From the documents", about, MappingProxyType(values))


_ADAFACTOR: dict[str, Any] = {
    "optimizer_type": "AdaFactor",
    "optimizer_args": ("scale_parameter=True", "warmup_init=False"),
    "scheduler": "adafactor",
}
_WIKI: dict[str, Any] = {"resolution": (768, 768), "bucket_min": 320, "bucket_max": 1472, "clip_skip": 2}
RECIPES = (
    _recipe(
        "article",
        "Values of the kohya_ss article",
        "Rank 8, alpha 1, 1e-4 for the UNet and 5e-5 for the text encoder (kohya_ss article).",
        rank=8,
        alpha=1.0,
        te_learning_rate=(5e-5,),
        unet_learning_rate=1e-4,
        min_snr_gamma=5.0,
        bucket_upscale=False,
    ),
    _recipe(
        "memo",
        "LoRA of the training memo",
        "Rank 128 at 768 pixels, 5 epochs of folders with 40 repeats (training memo).",
        rank=128,
        alpha=128.0,
        te_learning_rate=(5e-5,),
        resolution=(768, 768),
        epochs=5,
        repeats=40.0,
        optimizer_type="AdamW8bit",
        clip_skip=2,
    ),
    _recipe(
        "wiki-locon",
        "LoCon of the LyCORIS wiki",
        "Rank 64, alpha 0.3, AdaFactor with its own rate; 30 images, 70 epochs (LyCORIS wiki).",
        algo="locon",
        rank=64,
        alpha=0.3,
        conv_rank=64,
        conv_alpha=0.3,
        epochs=70,
        repeats=1.0,
        **_WIKI,
        **_ADAFACTOR,
    ),
    _recipe(
        "wiki-loha",
        "LoHa of the LyCORIS wiki",
        "Rank 8, alpha 1, AdaFactor with its own rate; 20 epochs of 200 to 300 steps (LyCORIS wiki).",
        algo="loha",
        rank=8,
        alpha=1.0,
        conv_rank=8,
        conv_alpha=1.0,
        epochs=20,
        **_WIKI,
        **_ADAFACTOR,
    ),
    _recipe(
        "wiki-rates",
        "LoCon with the batch file's rates",
        "Rank 32, alpha 1 and rates ten times as high for it: 1.5e-3 and 1.5e-4 (LyCORIS wiki).",
        algo="locon",
        rank=32,
        alpha=1.0,
        conv_rank=8,
        conv_alpha=1.0,
        learning_rate=1e-3,
        unet_learning_rate=1.5e-3,
        te_learning_rate=(1.5e-4,),
    ),
    _recipe(
        "wiki-dylora",
        "DyLoRA of the LyCORIS wiki",
        "Rank 32 in units of 4: every rank from 4 to 32 can be cut out of it afterwards (LyCORIS wiki).",
        algo="dylora",
        rank=32,
        alpha=16.0,
        block_size=4,
    ),
    _recipe(
        "wiki-ia3",
        "IA3 of the LyCORIS wiki",
        "A file of a few hundred KB; needs a rate of 5e-3 to 1e-2 (LyCORIS wiki).",
        algo="ia3",
        learning_rate=5e-3,
    ),
)
"""What documents that users go by recommend, or have used."""


class Presets:
    """The presets of a data folder beside the built-in ones.

    Args:
        folder: Where the user's lie, as TOML files by title.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[Preset]:
        """The user's first; one that cannot be read says so in `about`."""
        paths = sorted(self._folder.glob("*.toml")) if self._folder.is_dir() else []
        return [*map(_read, paths), *built_in()]

    def find(self, preset_id: str) -> Preset:
        """One of them.

        Raises:
            ConfigError: There is none.
        """
        for one in self.all():
            if one.id == preset_id:
                return one
        raise ConfigError("There is no such preset.", where="preset", got=preset_id)

    def keep(self, title: str, config: TrainConfig) -> Preset:
        """Keeps what is not at its default under a title; one of that title is replaced.

        Raises:
            ConfigError: The title cannot be a file's name.
            FileError: It cannot be written.
        """
        path = self._path(title)
        names = [
            one.name
            for one in declarations(TrainConfig)
            if one.name not in PERSONAL and getattr(config, one.name) != one.default
        ]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, dump_values(config, names).encode())
        except OSError as error:
            raise FileError("The preset cannot be written.", where=str(path), got=str(error)) from error
        return _read(path)

    def remove(self, preset_id: str) -> None:
        """Removes one of the user's.

        Raises:
            ConfigError: It is not one.
        """
        preset = self.find(preset_id)
        if not preset.own:
            raise ConfigError("A preset that came with the program cannot be removed.", where="preset")
        self._path(preset.title).unlink(missing_ok=True)

    def _path(self, title: str) -> Path:
        title = title.strip()
        if not title or len(title) > 80 or re.search(r'[/\\:*?"<>|\x00-\x1f]|^\.', title):
            raise ConfigError(
                "A preset's name is a file's name.",
                where="preset",
                got=repr(title),
                expected='up to 80 letters without / \\ : * ? " < > |',
            )
        return self._folder / f"{title}.toml"


def _read(path: Path) -> Preset:
    title = path.stem
    try:
        config = load_config(path)
    except ConfigError as error:
        told = f"It cannot be read: {one_line(error)}"
        return Preset(f"own:{title}", title, "Your own", told, {}, True)
    values = {
        one.name: getattr(config, one.name)
        for one in declarations(TrainConfig)
        if one.name not in PERSONAL and getattr(config, one.name) != one.default
    }
    return Preset(f"own:{title}", title, "Your own", f"{len(values)} options.", values, True)
