"""What shall be applied, and what a session reports about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from lib_lyco.apply.blocks import LayerFactors
from lib_lyco.naming.layer import Component, LayerName
from lib_lyco.network.network import Network

Mode = Literal["merge", "bypass"]

Multiplier = float | Tensor
"""A strength for all images, or (b,) one for each row of the batch, which only a bypass can do."""

NetworkKey = tuple[str, int]
"""Content id and rank limit (-1 for none): what is the same network, and what is another."""

Entry = tuple[NetworkKey, LayerFactors | None, bool]
"""A network, its factors by layer and whether it varies: what has a multiplier of its own."""

Recipe = tuple[tuple[NetworkKey, float], ...]
"""The networks on one parameter and their multipliers: with the original, all a merge depends on."""


def network_key(network: Network, rank: int | None) -> NetworkKey:
    return (network.content_id, -1 if rank is None else rank)


@dataclass(frozen=True, eq=False)
class Wanted:
    """One network and how strongly it acts. The same network twice adds up."""

    network: Network
    te: Multiplier = 1.0
    """For the layers of all text encoders."""
    unet: Multiplier = 1.0
    """For the layers of the denoiser."""
    rank: int | None = None
    """Limit for adapters that have a rank (`dyn` in tags); None leaves them whole."""
    factors: LayerFactors | None = None
    """What both multipliers are multiplied by, layer by layer; None is 1 everywhere."""
    varies: bool = False
    """Whether `unet` will be another number at another step. Such a network is bypassed where its
    adapters allow it, so that a step merges nothing anew; the rest of it is merged at each step."""

    @property
    def key(self) -> NetworkKey:
        return network_key(self.network, self.rank)

    @property
    def entry(self) -> Entry:
        return (self.key, self.factors, self.varies)

    def multiplier(self, component: Component) -> Multiplier:
        return self.unet if component == "unet" else self.te

    def factor(self, layer: LayerName) -> float:
        return 1.0 if self.factors is None else self.factors.of(layer)


def add_up(wanted: Sequence[Wanted]) -> list[Wanted]:
    """Returns each entry once, multipliers added, in an order that does not depend on theirs.

    So the same set is the same bits, however its tags were written.
    """
    by_entry: dict[Entry, Wanted] = {}
    for one in wanted:
        before = by_entry.get(one.entry)
        if before is not None:
            one = replace(one, te=before.te + one.te, unet=before.unet + one.unet)
        by_entry[one.entry] = one
    return [by_entry[entry] for entry in sorted(by_entry, key=_order)]


def _order(entry: Entry) -> tuple[NetworkKey, str, bool]:
    key, factors, varies = entry
    return (key, "" if factors is None else repr(factors), varies)


@dataclass(frozen=True)
class Count:
    """How many adapters of one network act on one component, whatever its multiplier."""

    network: str
    key: NetworkKey
    """Two networks may have the same name."""
    component: Component
    applied: int
    total: int

    def __str__(self) -> str:
        return f"{self.network}: applied {self.applied} of {self.total} {self.component} layers"


@dataclass(frozen=True)
class Problem:
    """An adapter that is not applied, or only in part, and why."""

    network: str
    key: NetworkKey
    layer: LayerName
    reason: str

    def __str__(self) -> str:
        return f"{self.network}: {self.layer} is not applied: {self.reason}"


@dataclass(frozen=True)
class Report:
    """What a session did."""

    counts: tuple[Count, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    """What was found changed underneath since the last call."""
    touched: int = 0
    """Parameters that this call gave another value, and layers whose hook it changed."""
    backup_bytes: int = 0
    """Memory held by the originals of what is merged now."""
    parked_bytes: int = 0
    """Memory held by merged weights that are kept for later."""

    def __str__(self) -> str:
        return "\n".join(str(line) for line in (*self.counts, *self.problems, *self.notes))
