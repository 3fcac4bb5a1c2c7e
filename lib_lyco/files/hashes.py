"""The hashes by which networks are known.

| hash | of | written by |
| --- | --- | --- |
| `sshs_model_hash`, 64 hex | SHA-256 of all bytes after the header | sd-scripts, ai-toolkit, us |
| `sshs_model_hash`, `0x` + 64 | SHA-256 of the tensors in state-dict order | LyCORIS since 3.0 |
| `sshs_legacy_hash`, 8 hex | SHA-256 of bytes 0x100000-0x10FFFF, only `ss_*` kept | sd-scripts, us |

The WebUI's own hash of a file (`addnet_hash_safetensors`) is the first of these.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from lib_lyco.files.access import read_exactly, reading
from lib_lyco.files.header import parse_header
from lib_lyco.files.layout import lay_out, tensor_bytes

_LEGACY_RANGE = range(0x100000, 0x110000)
_BLOCK = 1 << 20
_SHORT = 12
_KOHYA_HASH = re.compile(r"[0-9a-f]{64}")
_LYCORIS_HASH = re.compile(r"0x[0-9a-f]{64}")


def kohya_hash(tensors: Mapping[str, Tensor]) -> str:
    """`sshs_model_hash`: SHA-256 of the tensors' bytes as they lie in the file, metadata apart."""
    digest = hashlib.sha256()
    for data in lay_out(tensors, {}).data():
        digest.update(data)
    return digest.hexdigest()


def kohya_legacy_hash(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """`sshs_legacy_hash`: of the file's second MiB's first 64 KiB, first 8 hex digits.

    Only `ss_*` metadata counts, so that a later change of title or cover leaves the hash alone.
    A file below 1 MiB has nothing there: `e3b0c442`.
    """
    immutable = {key: value for key, value in metadata.items() if key.startswith("ss_")}
    layout = lay_out(tensors, immutable)
    digest = hashlib.sha256()
    at = 0
    for data in (memoryview(layout.header), *layout.data()):
        digest.update(data[max(_LEGACY_RANGE.start - at, 0) : max(_LEGACY_RANGE.stop - at, 0)])
        at += len(data)
        if at >= _LEGACY_RANGE.stop:
            break
    return digest.hexdigest()[:8]


def lycoris_hash(tensors: Mapping[str, Tensor]) -> str:
    """LyCORIS' own `sshs_model_hash`: `0x` and the SHA-256 of the tensors in the mapping's order."""
    digest = hashlib.sha256()
    for tensor in tensors.values():
        digest.update(tensor_bytes(tensor))
    return f"0x{digest.hexdigest()}"


def file_hash(path: str | os.PathLike[str]) -> str:
    """The WebUI's hash of a safetensors file, computed from its bytes: equals `kohya_hash`.

    Raises:
        FileError: The file cannot be read or is no safetensors file.
    """
    place = Path(path)
    digest = hashlib.sha256()
    with reading(place) as file:
        left = parse_header(file, place).data_size
        while left:
            block = read_exactly(file, min(left, _BLOCK), place)
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def stated_hash(metadata: Mapping[str, str]) -> str | None:
    """The hash that a file claims for itself, or None. The WebUI believes it, so names go by it."""
    stated = metadata.get("sshs_model_hash", "").lower()
    known = _KOHYA_HASH.fullmatch(stated) or _LYCORIS_HASH.fullmatch(stated)
    return stated if known else None


def short_hash(full: str) -> str:
    """The WebUI's short form: the first 12 characters (`0x` included)."""
    return full[:_SHORT]
