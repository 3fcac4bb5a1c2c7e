"""The hash by which infotexts know a network file: from the WebUI's cache, or computed into it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modules import cache, hashes

from lib_lyco.catalog.scan import NetworkFile

_PATIENCE = 1.0
"""Seconds between two looks at what the host's cache has."""
_BILLION = 1_000_000_000


class KnownHashes:
    """The hashes that the host, its builtin or we have computed before, without a question for each file.

    Which files the host's cache knows is looked up at most once a second; of the others there is no hash.

    Args:
        clock: Seconds, from whatever beginning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._titles: dict[str, tuple[float, frozenset[str]]] = {}
        self._found: dict[tuple[str, float], str] = {}

    def of(self, file: NetworkFile) -> str | None:
        """The hash of a file as it was when its folder was read; None where nobody knows it."""
        known = self._known_titles(_section(file.place))
        if not known:
            return None
        seconds, rest = divmod(file.stamp[0], _BILLION)
        # as the system's own time of change is rounded
        changed = seconds + 1e-9 * rest
        key = (file.place, changed)
        if key not in self._found and any(title in known for title in _titles(file.place)):
            found = _cached(file.place, changed)
            if found is None:
                return None
            self._found[key] = found
        return self._found.get(key)

    def _known_titles(self, section: str) -> frozenset[str]:
        """What the host's cache has a hash of."""
        looked, titles = self._titles.get(section, (0.0, None))
        now = self._clock()
        if titles is None or now - looked > _PATIENCE:
            # made whole before it is looked at: another thread may write meanwhile
            titles = frozenset(map(str, list(cache.cache(section))))
            self._titles[section] = (now, titles)
        return titles


def compute_hash(path: Path) -> str | None:
    """The file's hash, read from its bytes where nobody knows it yet; None with `--no-hashing`."""
    return _known_hash(path) or hashes.sha256(
        str(path), _titles(str(path))[0], use_addnet_hash=path.suffix.lower() == ".safetensors"
    )


def _known_hash(path: Path) -> str | None:
    try:
        changed = os.path.getmtime(path)
    except OSError:
        return None
    return _cached(str(path), changed)


def _cached(place: str, changed: float) -> str | None:
    for title in _titles(place):
        # the builtin's title is the same for equal names in two folders; the exact time tells them apart
        found: Any = cache.cache(_section(place)).get(title)
        if found and found.get("mtime") == changed:
            return found.get("sha256")
    return None


def _titles(place: str) -> tuple[str, str]:
    """Under what we, and what the builtin, keep a file's hash."""
    return f"lyco/{place}", f"lora/{os.path.splitext(os.path.basename(place))[0]}"


def _section(place: str) -> str:
    """The host's cache for the hash of a safetensors file's tensors, or of a whole file."""
    return "hashes-addnet" if place.lower().endswith(".safetensors") else "hashes"
