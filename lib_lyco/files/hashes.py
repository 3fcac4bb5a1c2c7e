"""The hashes by which networks are known, and our own identity of a file's content.

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
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from torch import Tensor

from lib_lyco.files.access import read_exactly, read_into, reading
from lib_lyco.files.header import parse_header
from lib_lyco.files.layout import lay_out, tensor_bytes

_LEGACY_RANGE = range(0x100000, 0x110000)
_BLOCK = 1 << 20
_CONTENT_BLOCK = 4 << 20
_CONTENT_THREADS = 4
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


def content_id(path: str | os.PathLike[str]) -> str:
    """Identity of a file's whole content: equal bytes, equal id; any other byte, another id.

    Neither the stated hash nor size and time are trusted: tools copy stale hashes, and a file can
    be rewritten within the clock's tick.

    Raises:
        FileError: The file cannot be read.
    """
    place = Path(path)
    with reading(place) as file:
        size = os.fstat(file.fileno()).st_size

        def block(start: int) -> memoryview:
            file.seek(start)
            return memoryview(read_exactly(file, min(_CONTENT_BLOCK, size - start), place))

        return _content_id(block, size)


def read_with_content_id(file: BinaryIO, buffer: memoryview, path: Path) -> str:
    """Fills `buffer`, as long as the file, from an open file and returns its `content_id`.

    Raises:
        FileError: The file cannot be read to its end.
    """

    def block(start: int) -> memoryview:
        file.seek(start)
        part = buffer[start : start + _CONTENT_BLOCK]
        read_into(file, part, path)
        return part

    return _content_id(block, len(buffer))


def _content_id(read_block: Callable[[int], memoryview], size: int) -> str:
    """SHA-256 over the SHA-256 of each block: while one is read, others are hashed."""
    lock = Lock()

    def digest(start: int) -> bytes:
        with lock:
            block = read_block(start)
        return hashlib.sha256(block).digest()

    with ThreadPoolExecutor(_CONTENT_THREADS) as pool:
        digests = b"".join(pool.map(digest, range(0, size, _CONTENT_BLOCK)))
    return hashlib.sha256(digests + size.to_bytes(8, "little")).hexdigest()
