"""Hashes of files, cached by their title."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import BinaryIO

from . import cache


def calculate_sha256(filename: str) -> str:
    """Of the whole file."""
    return hashlib.sha256(Path(filename).read_bytes()).hexdigest()


def sha256_from_cache(filename: str, title: str, use_addnet_hash: bool = False) -> str | None:
    """The hash if it is known and the file has not changed."""
    entry = cache.cache("hashes-addnet" if use_addnet_hash else "hashes").get(title)
    return entry["value"] if entry and entry["mtime"] >= Path(filename).stat().st_mtime else None


def sha256(filename: str, title: str, use_addnet_hash: bool = False) -> str:
    """The hash; computed at the first call."""
    if not use_addnet_hash:
        return cache.cached_data_for_file("hashes", title, filename, lambda: calculate_sha256(filename))
    with Path(filename).open("rb") as file:
        return cache.cached_data_for_file(
            "hashes-addnet", title, filename, lambda: addnet_hash_safetensors(file)
        )


def addnet_hash_safetensors(b: BinaryIO) -> str:
    """Of what follows a safetensors file's header."""
    b.seek(0)
    header = struct.unpack("<Q", b.read(8))[0]
    b.seek(8 + header)
    return hashlib.sha256(b.read()).hexdigest()
