"""One network file, understood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from lib_lyco.algos.adapter import Adapter
from lib_lyco.naming.layer import Family, LayerName


@dataclass(frozen=True)
class UnknownKey:
    """A key of the file that became neither adapter nor embedding, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class Network:
    """Everything one file applies. Each key of the file is in exactly one of the three groups."""

    name: str
    """File name without its extension."""
    content_id: str
    """Changes whenever the file's tensors change; equal content, equal id."""
    family: Family | None
    """The base-model family it was made for, from shapes first; None if nothing tells."""
    adapters: Mapping[LayerName, Adapter]
    embeddings: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict[str, Mapping[str, Tensor]])
    """Bundled textual-inversion embeddings: name -> tensor name -> tensor."""
    unknown: tuple[UnknownKey, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
