"""Networks kept in memory, so that a tag used again costs no reading."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor

from lib_lyco.files.identity import FileState
from lib_lyco.network.load import load_network
from lib_lyco.network.network import Network


@dataclass(frozen=True)
class _Entry:
    network: Network
    state: FileState
    num_bytes: int
    settled: bool
    """Whether the state alone proves that the content is unchanged."""


class NetworkCache:
    """The networks used last, within a byte budget. Any thread may call it.

    A file is known by its path and its content: rewritten, it is a new network; touched or copied
    over with the same bytes, it stays the same object.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._entries: OrderedDict[Path, _Entry] = OrderedDict()
        self._lock = Lock()

    @property
    def num_bytes(self) -> int:
        """What the kept networks take."""
        with self._lock:
            return self._sum()

    def load(self, path: str | os.PathLike[str]) -> Network:
        """The network of a file, from memory where its content is still the same.

        Raises:
            FileError, UnsafeFileError, NetworkFormatError: As for `load_network`; what was kept
                for the path is then dropped.
        """
        place = Path(os.path.abspath(path))
        # Held while a file is read: two threads that want the same one then read it once.
        with self._lock:
            entry = self._entries.pop(place, None)
            state = FileState.at(place)
            if entry is None or not entry.settled or entry.state != state:
                network = load_network(place)
                if entry is not None and _is_same(network, entry.network):
                    network = entry.network
                entry = _Entry(network, state, num_bytes(network), state.is_settled(time.time_ns()))
            self._entries[place] = entry
            self._evict()
            return entry.network

    def forget(self) -> None:
        """Drops every network."""
        with self._lock:
            self._entries.clear()

    def _evict(self) -> None:
        while self._entries and self._sum() > self._budget_bytes:
            self._entries.popitem(last=False)

    def _sum(self) -> int:
        return sum(entry.num_bytes for entry in self._entries.values())


def _is_same(one: Network, other: Network) -> bool:
    """Whether two readings of one path gave the same: the file was only touched, or copied over."""
    if one.content_id == other.content_id:
        return True
    if one.metadata != other.metadata or one.unknown != other.unknown:
        return False
    if one.adapters.keys() != other.adapters.keys() or one.embeddings.keys() != other.embeddings.keys():
        return False
    groups = [(one.adapters[layer].tensors(), other.adapters[layer].tensors()) for layer in one.adapters]
    groups += [(one.embeddings[name], other.embeddings[name]) for name in one.embeddings]
    return all(_are_equal(ours, theirs) for ours, theirs in groups)


def _are_equal(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> bool:
    """Whether all tensors have the same names, dtypes, shapes and bytes."""
    if ours.keys() != theirs.keys():
        return False
    pairs = [(tensor, theirs[part]) for part, tensor in ours.items()]
    return all(
        one.dtype == other.dtype and one.shape == other.shape and torch.equal(_bytes(one), _bytes(other))
        for one, other in pairs
    )


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).view(torch.uint8)


def num_bytes(network: Network) -> int:
    """The memory that a network's tensors hold, storages shared between them counted once."""
    tensors = [tensor for adapter in network.adapters.values() for tensor in adapter.tensors().values()]
    tensors += [tensor for parts in network.embeddings.values() for tensor in parts.values()]
    storages = {
        storage.data_ptr(): storage.nbytes() for storage in (tensor.untyped_storage() for tensor in tensors)
    }
    return sum(storages.values())
