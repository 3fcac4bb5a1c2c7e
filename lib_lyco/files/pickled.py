"""Files made by torch.save, read without running anything they hold.

The pickle inside is interpreted by `pickle_machine`, which knows tensors and plain containers and
refuses the rest. torch's own `weights_only` loader is not used: up to torch 2.5 a file could make
it run code (CVE-2025-32434), and the host has 2.1. Both layouts are read: the zip archive (since
torch 1.6) and the stream before it (torch/serialization.py, `_save` and `_legacy_save`).
"""

from __future__ import annotations

import io
import math
import mmap
import os
import zipfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

import torch
from torch import Tensor

from lib_lyco.errors import FileError, UnsafeFileError
from lib_lyco.files.pickle_machine import ForbiddenNameError, PickleError, Storage, View, run

_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80"
_HEADER_BRACE = b"{"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LENGTH_BYTES = 8
MAX_PROGRAM_BYTES = 8 << 20
"""A tensor takes some 150 bytes of the pickle: 0.4 MB for the 2,900 of an SDXL LoRA."""
_INNER = "string_to_param"
"""What holds the tensors of a textual-inversion embedding, one level deeper."""

ReadStorage = Callable[[Storage], bytearray]


def is_pickled(head: bytes) -> bool:
    """Whether a file that begins with these 9 bytes was made by torch.save, or claims so.

    A safetensors header's length may begin with the same bytes, but then its JSON follows.
    """
    return head.startswith((_ZIP_MAGIC, _PICKLE_MAGIC)) and head[8:9] != _HEADER_BRACE


def read_pickled(file: BinaryIO, path: Path) -> dict[str, Tensor]:
    """Reads the named tensors of a file made by torch.save; those of its `state_dict` if it has one.

    Raises:
        FileError: The file is damaged or holds no named tensors.
        UnsafeFileError: The file asks for code to be run.
    """
    with _told(path), mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        if mapped[: len(_ZIP_MAGIC)] == _ZIP_MAGIC:
            return _read_zip(file, path)
        return _read_legacy(mapped, path)


def read_program(file: BinaryIO, path: Path) -> bytes:
    """The pickle that tells the tensors' names and shapes, without the tensors' bytes.

    In the zip layout two files with tensors of the same names, dtypes and shapes have the same; the older
    layout names memory addresses in it, and what follows the pickle comes with it.

    Raises:
        FileError: The file is damaged, or its pickle is larger than any network's.
    """
    with _told(path), mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        if mapped[: len(_ZIP_MAGIC)] != _ZIP_MAGIC:
            _skip_front(mapped)
            return mapped.read(MAX_PROGRAM_BYTES)
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            return bytes(_member(archive, _main_member(archive.namelist()), MAX_PROGRAM_BYTES))


def read_shapes(program: bytes, path: Path) -> dict[str, tuple[int, ...]]:
    """The names and shapes that a file's `read_program` tells.

    Raises:
        FileError: It is damaged, or tells of no named tensors.
        UnsafeFileError: It asks for code to be run.
    """
    with _told(path):
        views = _named_views(run(io.BytesIO(program)))
    if not views:
        raise _damaged(path, "no named tensors")
    return {name: view.size for name, view in views.items()}


@contextmanager
def _told(path: Path) -> Generator[None, None, None]:
    """What can go wrong with a pickle, in our words."""
    try:
        yield
    except ForbiddenNameError as error:
        raise UnsafeFileError(
            "The file asks for code to be run and was not opened",
            where=str(path),
            got=str(error),
            expected="tensors only",
            remedy="Do not use it, or get it as .safetensors.",
        ) from error
    except (PickleError, zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, RuntimeError) as error:
        # RuntimeError: zipfile's word for an encrypted member (NotImplementedError is one too).
        raise _damaged(path, str(error)) from error


def _read_zip(file: BinaryIO, path: Path) -> dict[str, Tensor]:
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        main = _main_member(names)
        folder = main.removesuffix("data.pkl")
        if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
            raise PickleError("tensors that are not little-endian")
        budget = os.fstat(file.fileno()).st_size

        def read(storage: Storage) -> bytearray:
            return _member(archive, f"{folder}data/{storage.key}", budget)

        return _tensors(run(io.BytesIO(_member(archive, main, budget))), read, path)


def _main_member(names: Sequence[str]) -> str:
    main = next((name for name in names if name.rpartition("/")[2] == "data.pkl"), None)
    if main is None:
        raise PickleError("a zip archive without data.pkl")
    return main


def _member(archive: zipfile.ZipFile, name: str, budget: int) -> bytearray:
    """A member's bytes. torch stores members as they are; a compressed one could be a bomb."""
    try:
        info = archive.getinfo(name)
    except KeyError as error:
        raise PickleError(f"no {name} in the archive") from error
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > budget:
        raise PickleError(f"{name} is compressed, or larger than it can be")
    with archive.open(info) as member:
        return bytearray(member.read())


def _read_legacy(mapped: mmap.mmap, path: Path) -> dict[str, Tensor]:
    """magic, protocol, system, object, storage keys: five pickles; then each storage's n and bytes."""
    stream = _skip_front(mapped)
    root = run(stream)
    keys = run(stream)
    if not isinstance(keys, list):
        raise PickleError("no list of storages")
    places: dict[str, tuple[int, int]] = {}
    widths = {view.storage.key: view.storage.dtype.itemsize for view in _named_views(root).values()}
    for key in cast("list[object]", keys):
        if not isinstance(key, str) or key not in widths:
            raise PickleError("a storage that no tensor uses")
        count = int.from_bytes(mapped.read(_LENGTH_BYTES), "little")
        start = mapped.tell()
        end = start + count * widths[key]
        if end > len(mapped):
            raise PickleError(f"storage {key} is cut short")
        places[key] = (start, end)
        mapped.seek(end)

    def read(storage: Storage) -> bytearray:
        if storage.key not in places:
            raise PickleError(f"no storage {storage.key}")
        start, end = places[storage.key]
        return bytearray(memoryview(mapped)[start:end])

    return _tensors(root, read, path)


def _skip_front(mapped: mmap.mmap) -> IO[bytes]:
    """The older layout's stream behind magic, protocol and system."""
    stream = cast("IO[bytes]", mapped)
    if run(stream) != _LEGACY_MAGIC:
        raise PickleError("a pickle that torch.save did not make")
    for _ in ("protocol", "system"):
        run(stream)
    return stream


def _tensors(root: object, read: ReadStorage, path: Path) -> dict[str, Tensor]:
    """The named tensors, each storage read once however many views it has."""
    views = _named_views(root)
    if not views:
        raise _damaged(path, "no named tensors")
    storages: dict[str, Tensor] = {}
    for view in views.values():
        key = view.storage.key
        if key not in storages:
            data = read(view.storage)
            # frombuffer refuses an empty buffer
            storages[key] = (
                torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
            )
    return {name: _tensor(storages[view.storage.key], view, name) for name, view in views.items()}


def _tensor(data: Tensor, view: View, name: str) -> Tensor:
    dtype = view.storage.dtype
    numel = math.prod(view.size)
    if len(data) != view.storage.numel * dtype.itemsize or len(view.size) != len(view.stride):
        raise PickleError(f"{name!r} and its storage disagree")
    last = view.offset + sum((size - 1) * step for size, step in zip(view.size, view.stride, strict=True))
    # A view larger than its storage (stride 0) would take memory that the file does not.
    if numel > view.storage.numel or (numel and last >= view.storage.numel):
        raise PickleError(f"{name!r} reaches beyond its storage")
    return data.view(dtype).as_strided(view.size, view.stride, view.offset if numel else 0)


def _named_views(root: object) -> dict[str, View]:
    while isinstance(root, dict) and isinstance(cast("dict[object, object]", root).get("state_dict"), dict):
        root = cast("dict[object, object]", root)["state_dict"]
    if not isinstance(root, dict):
        return {}
    named = cast("dict[object, object]", root)
    inner = named.get(_INNER)
    if isinstance(inner, dict):
        deeper = cast("dict[object, object]", inner).items()
        named = {**named, **{f"{_INNER}.{key}": value for key, value in deeper}}
    return {key: value for key, value in named.items() if isinstance(key, str) and isinstance(value, View)}


def _damaged(path: Path, got: str) -> FileError:
    return FileError(
        "This is no whole file made by torch.save",
        where=str(path),
        got=got,
        remedy="Get the file again, or as .safetensors.",
    )
