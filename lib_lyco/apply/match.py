"""A network against a model's layers: what goes where, and what goes nowhere and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from lib_lyco.algos.adapter import Adapter
from lib_lyco.models.target import Target, Targets
from lib_lyco.naming.layer import Component, LayerName
from lib_lyco.network.network import Network

LATENT_CHANNELS = 4
"""What a text-to-image denoiser's `conv_in` reads. Inpainting models (9: latents, mask, masked
latents) and image-editing models (8: latents, image latents) have the latents first."""


@dataclass(frozen=True, eq=False)
class Pair:
    """One adapter and one place of the model that takes its delta, or a slice of it."""

    target: Target
    adapter: Adapter
    channels: int | None = None
    """Leading input channels that the adapter knows; those after them stay as they are."""
    whole: tuple[Target, ...] = ()
    """All parts of the fused layer, in order of rows, where the target is only one of them."""


@dataclass(frozen=True)
class Unmatched:
    """An adapter that is not applied."""

    layer: LayerName
    reason: str


@dataclass(frozen=True, eq=False)
class Match:
    """Every adapter of a network is in exactly one of the two groups."""

    pairs: tuple[Pair, ...]
    unmatched: tuple[Unmatched, ...]


def count_adapters(layers: Iterable[LayerName]) -> dict[Component, int]:
    """Counts layers by component."""
    counts: dict[Component, int] = Counter(layer.component for layer in layers)
    return dict(sorted(counts.items()))


def match_network(network: Network, targets: Targets, rank: int | None = None) -> Match:
    """Finds a place for every adapter of a network.

    An adapter with several targets is applied to all of them or, if it misfits one, to none.

    Args:
        network: The network.
        targets: The model's layers.
        rank: Limit for adapters that have a rank; None leaves them whole.
    """
    components: set[Component] = {layer.component for layer in targets}
    pairs: list[Pair] = []
    unmatched: list[Unmatched] = []
    for layer, adapter in network.adapters.items():
        found = _pair(layer, adapter if rank is None else adapter.truncated(rank), targets, components)
        if isinstance(found, str):
            unmatched.append(Unmatched(layer, found))
        else:
            pairs.extend(found)
    return Match(tuple(pairs), tuple(unmatched))


def find_parameter(target: Target) -> nn.Parameter | None:
    """Returns the parameter that a target's weight is in, or None if its module has none."""
    found = getattr(target.module, target.weight, None)
    return found if isinstance(found, nn.Parameter) else None


def _pair(
    layer: LayerName, adapter: Adapter, targets: Targets, components: set[Component]
) -> list[Pair] | str:
    """Returns the pairs of one adapter, or why there are none."""
    places = targets.get(layer, ())
    if not places:
        if layer.component not in components:
            return f"the model has no {layer.component}"
        return "the model has no such layer"
    pairs: list[Pair] = []
    for target in places:
        pair = _fit(target, adapter, places)
        if isinstance(pair, str):
            return pair
        pairs.append(pair)
    return pairs


def _fit(target: Target, adapter: Adapter, places: tuple[Target, ...]) -> Pair | str:
    parameter = find_parameter(target)
    if parameter is None:
        return f"{type(target.module).__name__} has no parameter named {target.weight}"
    if not parameter.dtype.is_floating_point:
        return f"its weight is stored as {parameter.dtype}, which no delta can be added to"
    shape = tuple(parameter.shape[::-1] if target.transposed else parameter.shape)
    whole: tuple[Target, ...] = ()
    if target.rows is not None:
        shape = (target.rows[1] - target.rows[0], *shape[1:])
    if target.delta_rows is not None:
        whole = tuple(sorted(places, key=lambda place: place.delta_rows or (0, 0)))
        rows = _count_joined_rows(whole)
        if rows is None:
            return "it is fused, and the model lacks a part of it"
        shape = (rows, *shape[1:])
    misfit = adapter.misfit(shape)
    if misfit is None:
        return Pair(target, adapter, whole=whole)
    if _has_extra_channels(target, shape):
        latents_only = (shape[0], LATENT_CHANNELS, *shape[2:])
        if adapter.misfit(latents_only) is None:
            return Pair(target, adapter, channels=LATENT_CHANNELS)
    return misfit


def _count_joined_rows(whole: tuple[Target, ...]) -> int | None:
    """Returns how many rows the parts of a fused layer have together, or None if one is missing."""
    end = 0
    for target in whole:
        if target.delta_rows is None or target.delta_rows[0] != end:
            return None
        end = target.delta_rows[1]
    return end


def _has_extra_channels(target: Target, shape: tuple[int, ...]) -> bool:
    layer = target.layer
    if layer.component != "unet" or layer.path != "conv_in" or target.delta_rows is not None:
        return False
    return len(shape) == 4 and shape[1] > LATENT_CHANNELS
