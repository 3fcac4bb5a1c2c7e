"""Which spellings of layer names the builtin Lora extension of WebUI 1.10.1 understands, as data.

A row is a dialect of `tests.dialects.spelling` on one family of base models, with the layers that the
builtin leaves out of a file which names every layer of the UNet and the text encoders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_lyco.demo.madeup import Known
from lib_lyco.naming.layer import LayerName
from lib_lyco.naming.table import layer_table
from tests.dialects.spelling import DIALECTS, Dialect
from tests.host import formulas
from tests.host.algorithms import CHAIN
from tests.host.formulas import Exact
from tests.oracles.layers import noise

FAMILIES: tuple[Known, ...] = ("sd1", "sd2", "sdxl")
ROTATION = "kohya OFT"
"""The one dialect that is for another algorithm than LoRA."""

_EVERY = r".*"
_NONE = r"(?!)"
_PROJECTION = r"te2:text_projection"
_DIFFUSERS_NAMES = rf"unet:(up_blocks\.0\.upsamplers|add_embedding)|{_PROJECTION}"
"""SDXL by diffusers' names: the upsampler is looked for in the wrong place, and two layers nowhere."""

_LEFT_OUT: Mapping[tuple[str, Known], str] = {
    ("kohya", "sd1"): _NONE,
    ("kohya", "sd2"): _NONE,
    ("kohya", "sdxl"): _PROJECTION,
    ("kohya OFT", "sdxl"): _NONE,
    ("OneTrainer KOHYA", "sd1"): _NONE,
    ("OneTrainer KOHYA", "sd2"): _NONE,
    ("OneTrainer KOHYA", "sdxl"): _PROJECTION,
    ("OneTrainer LEGACY", "sd1"): _NONE,
    ("OneTrainer LEGACY", "sd2"): r"te1:",
    ("OneTrainer LEGACY", "sdxl"): _DIFFUSERS_NAMES,
    ("ai-toolkit", "sd1"): _NONE,
    ("ai-toolkit", "sd2"): r"te1:",
    ("ai-toolkit", "sdxl"): _DIFFUSERS_NAMES,
    ("trainers on SD1 that number its encoder", "sd1"): _NONE,
}
"""Every other dialect means nothing to the builtin: its names have dots, or a prefix it does not know."""

_SAME_NAMES = ("LyCORIS in kohya",)
"""Spelled as another dialect of the list."""


@dataclass(frozen=True)
class Row:
    """One dialect on one family."""

    dialect: Dialect
    family: Known
    left_out: str
    """What the builtin does not apply: a pattern of `component:path`, matched from its start."""

    def __str__(self) -> str:
        return f"{self.dialect.name} for {self.family}"

    def stems(self) -> dict[LayerName, str]:
        """Every layer that the dialect can name and a LoRA can be for, and its stem."""
        table = layer_table(self.family)
        found = {
            layer: self.dialect.spell(layer, self.family)
            for layer in table
            if _is_matrix(layer, table.shape(layer))
        }
        if self.dialect.name == ROTATION:
            found = {
                layer: stem for layer, stem in found.items() if layer.path.endswith((".to_q", ".to_v"))
            }
        return {layer: stem for layer, stem in found.items() if stem is not None}

    def spelled(self, part: str) -> str | None:
        """How the dialect spells a part; None where it has none such."""
        names = self.dialect.parts
        if part in names or "lokr_w1" in names:  # LyCORIS, whose list has no LoRA
            return part
        return next((spelled for spelled, canonical in names.items() if canonical == part), None)

    def parts(self, weight: Tensor, seed: int) -> dict[str, Tensor]:
        """What a file has for a layer."""
        out, into, *kernel = weight.shape
        if self.dialect.name == ROTATION:
            blocks = noise(4, out // 4, out // 4, seed=seed, scale=0.1)
            return {"oft_blocks": blocks, "alpha": torch.tensor(0.001)}
        up, down = noise(out, 1, *(1 for _ in kernel), seed=seed), noise(1, into, *kernel, seed=seed + 5000)
        parts = {"lora_up.weight": 0.02 * up, "lora_down.weight": down, "alpha": torch.tensor(0.5)}
        return {part: value for part, value in parts.items() if self.spelled(part) is not None}

    @property
    def exact(self) -> Exact:
        """What those parts make of a weight."""
        return formulas.oft if self.dialect.name == ROTATION else formulas.lora

    @property
    def roundings(self) -> float:
        """How far the builtin may be from us, where it knows the layer."""
        return CHAIN if self.dialect.name == ROTATION else 1.0


def _is_matrix(layer: LayerName, shape: tuple[int, ...]) -> bool:
    return len(shape) > 1 and "embeddings." not in layer.path


ROWS = tuple(
    Row(dialect, family, _LEFT_OUT.get((dialect.name, family), _EVERY))
    for family in FAMILIES
    for dialect in DIALECTS
    if family in dialect.families and dialect.name not in _SAME_NAMES
)
