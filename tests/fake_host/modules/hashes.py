"""Hashes of files, cached by their title."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any, BinaryIO

from . import cache


def calculate_sha256(filename: str) -> str:
    """Of the whole file."""
    return hashlib.sha256(Path(filename).read_bytes()).hexdigest()


def _known(use_addnet_hash: bool) -> dict[str, Any]:
    return cache.cache("hashes-addnet" if use_addnet_hash else "hashes")


def sha256_from_cache(filename: str, title: str, use_addnet_hash: bool = False) -> str | None:
    """The hash if it is known and the file has not changed."""
    entry = _known(use_addnet_hash).get(title)
    return entry["sha256"] if entry and entry["mtime"] >= Path(filename).stat().st_mtime else None


def sha256(filename: str, title: str, use_addnet_hash: bool = False) -> str:
    """The hash; computed at the first call."""
    found = sha256_from_cache(filename, title, use_addnet_hash)
    if found is None:
        with Path(filename).open("rb") as file:
            found = addnet_hash_safetensors(file) if use_addnet_hash else calculate_sha256(filename)
        known = {"mtime": Path(filename).stat().st_mtime, "sha256": found}
        _known(use_addnet_hash)[title] = known
    return found


def addnet_hash_safetensors(b: BinaryIO) -> str:
    """Of what follows a safetensors file's header."""
    b.seek(0)
    header = struct.unpack("<Q", b.read(8))[0]
    b.seek(8 + header)
    return hashlib.sha256(b.read()).hexdigest()
