"""A stem, in whatever dialect, to the one canonical name.

Dots and underscores are the same here: every spelling is flattened before it is looked up, which
is free of collisions in every family (tested). One index per family holds, for each layer, its
canonical path, its path in the host's layout, and the shortened spellings that tools have used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from lib_lyco.naming.layer import Component, Family, LayerName
from lib_lyco.naming.prefixes import BARE, FILE_PREFIXES
from lib_lyco.naming.table import LayerTable, layer_table

_OLD_ATTENTION = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}
"""diffusers' first text-encoder files call the projections of `self_attn` as in the UNet."""

_NUM_REMEMBERED = 1 << 15
"""Stems, each once for each family that was asked."""

Index = Mapping[Component, Mapping[str, LayerName]]
"""Component -> flattened spelling -> layer."""


@lru_cache(_NUM_REMEMBERED)
def resolve(stem: str, family: Family) -> LayerName | None:
    """The layer of `family` that a stem of `split_key` means, or None if it has no such layer.

    SD3's fused attention, as in kohya's files, resolves to a name of `LayerTable.combined`.
    """
    index = _index(family)
    prefixes = _prefixes(family)
    prefix = prefixes.pattern.match(stem)
    if prefix is not None:
        flat = flatten(stem[prefix.end() :])
        for component in prefixes.components[prefix[0]]:
            layer = index.get(component, {}).get(flat)
            if layer is not None:
                return layer
    flat = flatten(stem)
    for component in BARE:
        layer = index[component].get(flat)
        if layer is not None:
            return layer
    return None


def flatten(path: str) -> str:
    """A dotted path as kohya writes it."""
    return path.replace(".", "_")


def spellings(layer: LayerName, table: LayerTable) -> Iterator[str]:
    """Every path under which files know a layer of the table, canonical one first, prefix excluded."""
    yield layer.path
    if layer in table.combined:
        yield table.combined[layer].host_path
        return
    place = table.host_place(layer)
    if place.rows is None and place.path and not place.swapped_halves:
        yield place.path
    elif place.rows is not None and layer.component == "unet":
        # OneTrainer's older ORIGINAL format for SD3 numbers the parts of a fused attention
        yield f"{place.path}.{place.rows.index}"
    yield from _shortened(layer)


def _shortened(layer: LayerName) -> Iterator[str]:
    if layer.path.endswith(".to_out.0"):
        yield layer.path.removesuffix(".0")
    if layer.path.startswith("text_model."):
        # transformers 5 shows the model without projection without this level
        yield layer.path.removeprefix("text_model.")
    head, found, leaf = layer.path.partition(".self_attn.")
    if found:
        yield f"{head}.self_attn.{_OLD_ATTENTION[leaf]}"
    if layer.path == "shared":
        # T5 ties the two
        yield "encoder.embed_tokens"


@cache
def _index(family: Family) -> Index:
    table = layer_table(family)
    index: dict[Component, dict[str, LayerName]] = {component: {} for component in table.components}
    for layer in (*table.layers, *table.combined):
        for path in spellings(layer, table):
            index[layer.component].setdefault(flatten(path), layer)
    return index


@dataclass(frozen=True)
class _Prefixes:
    components: Mapping[str, tuple[Component, ...]]
    pattern: re.Pattern[str]
    """Matches the one of them that a stem begins with; none begins with another (tested)."""


@cache
def _prefixes(family: Family) -> _Prefixes:
    """What files put before a path; the roots of the host's checkpoints count as prefixes too."""
    components = dict(FILE_PREFIXES)
    for component, root in layer_table(family).host_roots.items():
        components[f"{root}."] = (component,)
    return _Prefixes(components, re.compile("|".join(map(re.escape, components))))
