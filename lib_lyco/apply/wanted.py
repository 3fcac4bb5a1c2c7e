"""What shall be applied, and what a session reports about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from lib_lyco.naming.layer import Component, LayerName
from lib_lyco.network.network import Network

Mode = Literal["merge", "bypass"]

Multiplier = float | Tensor
"""A strength for all images, or (b,) one for each row of the batch, which only a bypass can do."""

NetworkKey = tuple[str, int]
"""Content id and rank limit (-1 for none): what is the same network, and what is another."""

Recipe = tuple[tuple[NetworkKey, float], ...]
"""The networks on one parameter and their multipliers: with the original, all a merge depends on."""


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

    @property
    def key(self) -> NetworkKey:
        return (self.network.content_id, -1 if self.rank is None else self.rank)

    def multiplier(self, component: Component) -> Multiplier:
        return self.unet if component == "unet" else self.te


def add_up(wanted: Sequence[Wanted]) -> list[Wanted]:
    """Returns each network once, multipliers added, in an order that does not depend on theirs.

    So the same set is the same bits, however its tags were written.
    """
    by_key: dict[NetworkKey, Wanted] = {}
    for one in wanted:
        before = by_key.get(one.key)
        if before is not None:
            one = replace(one, te=before.te + one.te, unet=before.unet + one.unet)
        by_key[one.key] = one
    return [by_key[key] for key in sorted(by_key)]


@dataclass(frozen=True)
class Count:
    """How many adapters of one network act on one component, whatever its multiplier."""

    network: str
    component: Component
    applied: int
    total: int

    def __str__(self) -> str:
        return f"{self.network}: applied {self.applied} of {self.total} {self.component} layers"


@dataclass(frozen=True)
class Problem:
    """An adapter that is not applied, or only in part, and why."""

    network: str
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
