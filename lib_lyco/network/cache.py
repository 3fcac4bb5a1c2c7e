"""Networks kept in memory, so that a tag used again costs no reading."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from lib_lyco.files.access import unreadable
from lib_lyco.files.hashes import content_id
from lib_lyco.network.load import load_network
from lib_lyco.network.network import Network

_TICK_NS = 3_000_000_000
"""A file changed less than this before it was read may change again without a new time: FAT counts
in steps of two seconds."""


@dataclass(frozen=True)
class _State:
    """What the file system says about a file; another content nearly always shows here."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: Path) -> _State:
        try:
            found = os.stat(path)
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from error
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@dataclass(frozen=True)
class _Entry:
    network: Network
    state: _State
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
            state = _State.of(place)
            if entry is None or not self._is_same(place, entry, state):
                entry = _entry(load_network(place), state)
            elif not entry.settled or entry.state != state:
                entry = _Entry(entry.network, state, entry.num_bytes, _is_settled(state))
            self._entries[place] = entry
            self._evict()
            return entry.network

    def forget(self) -> None:
        """Drops every network."""
        with self._lock:
            self._entries.clear()

    @staticmethod
    def _is_same(path: Path, entry: _Entry, state: _State) -> bool:
        if entry.settled and entry.state == state:
            return True
        return entry.state.size == state.size and content_id(path) == entry.network.content_id

    def _evict(self) -> None:
        while self._entries and self._sum() > self._budget_bytes:
            self._entries.popitem(last=False)

    def _sum(self) -> int:
        return sum(entry.num_bytes for entry in self._entries.values())


def _entry(network: Network, state: _State) -> _Entry:
    return _Entry(network, state, num_bytes(network), _is_settled(state))


def _is_settled(state: _State) -> bool:
    return time.time_ns() - max(state.mtime_ns, state.ctime_ns) > _TICK_NS


def num_bytes(network: Network) -> int:
    """The memory that a network's tensors hold, storages shared between them counted once."""
    tensors = [tensor for adapter in network.adapters.values() for tensor in adapter.tensors().values()]
    tensors += [tensor for parts in network.embeddings.values() for tensor in parts.values()]
    storages = {
        storage.data_ptr(): storage.nbytes() for storage in (tensor.untyped_storage() for tensor in tensors)
    }
    return sum(storages.values())
