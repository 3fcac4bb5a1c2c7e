"""The hash by which infotexts know a network file: from the WebUI's cache, or computed into it."""

from __future__ import annotations

import os
from pathlib import Path

from modules import cache, hashes


def known_hash(path: Path) -> str | None:
    """The hash that the host, its builtin or we have computed for a file before; None otherwise."""
    try:
        changed = os.path.getmtime(path)
    except OSError:
        return None
    for title in (_title(path), f"lora/{path.stem}"):
        # the builtin's title is the same for equal names in two folders; the exact time tells them apart
        found = cache.cache(_section(path)).get(title)
        if found and found.get("mtime") == changed:
            return found.get("sha256")
    return None


def compute_hash(path: Path) -> str | None:
    """The file's hash, read from its bytes where nobody knows it yet; None with `--no-hashing`."""
    return known_hash(path) or hashes.sha256(
        str(path), _title(path), use_addnet_hash=path.suffix.lower() == ".safetensors"
    )


def _title(path: Path) -> str:
    return f"lyco/{path}"


def _section(path: Path) -> str:
    """The host's cache for the hash of a safetensors file's tensors, or of a whole file."""
    return "hashes-addnet" if path.suffix.lower() == ".safetensors" else "hashes"
