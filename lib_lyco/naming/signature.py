"""The layers that a file's keys speak of, counted: hundreds of them, of a few kinds.

What can be said of a layer depends on what its stem means in each family and on the shapes of its parts.
Most layers have both in common with many others, so each kind is looked at once, however many have it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from lib_lyco.naming.key import split_key
from lib_lyco.naming.layer import Family
from lib_lyco.naming.resolve import flatten, resolve
from lib_lyco.naming.table import layer_table

FAMILIES: tuple[Family, ...] = ("sd1", "sd2", "sdxl", "sd3")
"""Likeliest first, where nothing tells them apart."""

HABITS: tuple[tuple[str, frozenset[Family]], ...] = (
    # kohya's prefixes; sgm names in a UNet are kohya's for SDXL only
    ("lora_te_", frozenset({"sd1", "sd2"})),
    ("lora_te1_", frozenset({"sdxl", "sd3"})),
    ("lora_unet_input_blocks_", frozenset({"sdxl"})),
    ("lora_unet_middle_block_", frozenset({"sdxl"})),
    ("lora_unet_output_blocks_", frozenset({"sdxl"})),
)
"""Prefix -> the families for which tools write it."""

Signature = tuple[tuple[str, tuple[int, ...]], ...]
"""A layer's canonical parts with their shapes, in the file's order."""

_READS_TEXT = ("attn2_to_k", "attn2_to_v")
_NUM_REMEMBERED = 1 << 15
"""Stems."""


@dataclass(frozen=True, eq=False)
class Role:
    """What stems alone say; those that say the same have the same object."""

    shapes: Mapping[Family, tuple[int, ...]]
    """The families that know such a layer -> its weight's shape there."""
    reads_text: bool
    """Whether its input is the encoded text."""
    habit: int | None
    """Its prefix's place in `HABITS`."""


@dataclass(frozen=True)
class Kinds:
    """A file's layers by kind."""

    roles: Mapping[str, Role]
    """Stem -> its role."""
    counts: Counter[tuple[Role, Signature]]
    """Kind -> how many layers are of it; in the file's order."""


def count_kinds(shapes: Mapping[str, tuple[int, ...]]) -> Kinds:
    """Sorts a header's keys, with their shapes, by layer, and the layers by kind."""
    stems: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for key, shape in shapes.items():
        split = split_key(key)
        if split is not None:
            stem, part = split
            stems.setdefault(stem, []).append((part, tuple(shape)))
    roles = {stem: _role(stem) for stem in stems}
    return Kinds(roles, Counter(zip(roles.values(), map(tuple, stems.values()), strict=True)))


@lru_cache(_NUM_REMEMBERED)
def _role(stem: str) -> Role:
    shapes = tuple(_shapes(stem, FAMILIES))
    habit = next((place for place, (prefix, _) in enumerate(HABITS) if stem.startswith(prefix)), None)
    return _shared_role(shapes, flatten(stem).endswith(_READS_TEXT), habit)


def _shapes(stem: str, families: Iterable[Family]) -> Iterable[tuple[Family, tuple[int, ...]]]:
    for family in families:
        layer = resolve(stem, family)
        if layer is not None:
            yield family, layer_table(family).shape(layer)


@cache
def _shared_role(
    shapes: tuple[tuple[Family, tuple[int, ...]], ...], reads_text: bool, habit: int | None
) -> Role:
    """As many as there are different layers in the families' tables, whatever files say."""
    return Role(dict(shapes), reads_text, habit)
