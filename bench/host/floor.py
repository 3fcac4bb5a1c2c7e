"""The least that any exact way of applying has to do: bytes and operations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_lyco.naming.table import layer_table
from lib_lyco.network.load import load_network

_FLOAT32 = 4


@dataclass(frozen=True)
class Work:
    """Of one network on a float32 model."""

    elements: int
    """Of the weights that it touches."""
    operations: int


@dataclass(frozen=True)
class Floor:
    """Of one case."""

    num_bytes: int
    """Each original read once, each merged weight written once."""
    operations: int

    def seconds(self, rates: Mapping[str, float]) -> float:
        """With bytes and operations at the same time, each at the machine's rate."""
        return max(self.num_bytes / rates["bytes"], self.operations / rates["operations"])


def count_work(path: Path) -> Work:
    """Counts from a network's file."""
    table = layer_table("sd1")
    elements = operations = 0
    for layer, adapter in load_network(path).adapters.items():
        size = math.prod(table.shape(layer))
        rank = getattr(adapter, "rank", None) or 0
        # a product of rank r, or two of them and their product, or a Kronecker product; and the sum
        each = {"lora": 2 * rank, "loha": 4 * rank + 2, "lokr": 2}[adapter.algo]
        elements += size
        operations += each * size
    return Work(elements, operations)


def floor_of(works: Sequence[Work]) -> Floor:
    """The floor of networks on the same layers, applied together."""
    elements = max((work.elements for work in works), default=0)
    return Floor(2 * _FLOAT32 * elements, sum(work.operations for work in works))
