"""Tensors out of a file: safetensors, and what torch.save made (.pt, .ckpt, .bin), without its code.

A file is read once, into memory of our own, and its tensors are views of that. Nothing stays
mapped or open: the file can be replaced while its network is in use, on Windows too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, TypeVar

import torch
from torch import Tensor

from lib_lyco.errors import FileError
from lib_lyco.files.access import read_into, reading
from lib_lyco.files.dtype import STORED, torch_dtype
from lib_lyco.files.header import Header, TensorInfo, parse_header
from lib_lyco.files.identity import FileState, hash_content
from lib_lyco.files.memory import empty_bytes
from lib_lyco.files.pickled import is_pickled, read_pickled

_HEAD_BYTES = 9

Item = TypeVar("Item")


@dataclass(frozen=True)
class Content:
    """A whole file in memory."""

    tensors: dict[str, Tensor]
    """In the file's order, on the CPU."""
    metadata: dict[str, str]
    content_id: str
    """Another content has another one. Equal bytes have the same, unless the file's age proves that
    it is unchanged: then the state of the file stands for its content, which costs no hashing."""
    stretches: tuple[Tensor, ...]
    """The values of all tensors in as few flat tensors as possible, for work on all at once."""


@dataclass(frozen=True)
class PendingContent:
    """A file on its way into memory: what it holds is known at once, the values come meanwhile."""

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]
    views: dict[str, Tensor] | None
    """The tensors, with any values until `content` returns; None where some have to be copied then."""
    content: Callable[[], Content]
    """Waits for the values. Raises FileError as `read_content`."""


def read_tensors(path: str | os.PathLike[str], keys: Collection[str] | None = None) -> dict[str, Tensor]:
    """Reads a file's tensors, or those named by `keys`, onto the CPU.

    Raises:
        FileError: The file cannot be read, is neither safetensors nor made by torch.save, is
            damaged, or lacks one of the keys.
        UnsafeFileError: The file asks for code to be run.
    """
    place = Path(path)
    with reading(place) as file:
        if _is_pickled(file):
            return _chosen(read_pickled(file, place), keys, place)
        header = parse_header(file, place)
        if keys is None:
            return _aligned(_views(_whole(file, place), header, place), header, place)
        return {
            key: _read_one(file, header, key, info, place)
            for key, info in _chosen(header.tensors, keys, place).items()
        }


def read_content(path: str | os.PathLike[str]) -> Content:
    """Reads a whole network file: tensors, metadata and identity, in one pass.

    Raises:
        FileError, UnsafeFileError: As for `read_tensors`.
    """
    return begin_content(path).content()


def begin_content(path: str | os.PathLike[str]) -> PendingContent:
    """As `read_content`, but returns after the header; another thread reads the values.

    Raises:
        FileError, UnsafeFileError: As for `read_tensors`.
    """
    place = Path(path)
    with ExitStack() as opened:
        file = opened.enter_context(reading(place))
        if _is_pickled(file):
            return _begin_pickled(file, place)
        state = FileState.of(file)
        header = parse_header(file, place)
        buffer = _empty_whole(file)
        # The work is one system call without the interpreter's lock. The thread closes the file.
        pool = ThreadPoolExecutor(1, thread_name_prefix="lyco-read")
        filled = pool.submit(_fill, buffer, file, place, opened.pop_all())
        pool.shutdown(wait=False)
    views = _views(buffer, header, place)
    is_aligned = not any(_is_misaligned(info, header) for info in header.tensors.values())
    # made while the file is read: a view needs no values, a copy does
    stretches = _stretches(buffer, header, place) if is_aligned else None

    def content() -> Content:
        is_proven = filled.result() == state and state.is_settled(time.time_ns())
        data = _bytes(buffer)
        content_id = state.content_id(data[: header.data_start]) if is_proven else hash_content(data)
        tensors = views if is_aligned else _aligned(views, header, place)
        return Content(tensors, header.metadata, content_id, stretches or _stretches(buffer, header, place))

    shapes = {key: info.shape for key, info in header.tensors.items()}
    return PendingContent(shapes, header.metadata, views if is_aligned else None, content)


def _begin_pickled(file: BinaryIO, path: Path) -> PendingContent:
    tensors = read_pickled(file, path)
    content = Content(tensors, {}, hash_content(_bytes(_whole(file, path))), tuple(tensors.values()))
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    return PendingContent(shapes, {}, tensors, lambda: content)


def _fill(buffer: Tensor, file: BinaryIO, path: Path, opened: ExitStack) -> FileState:
    """Reads the whole file, closes it, and returns the state that it had after that."""
    with opened:
        file.seek(0)
        read_into(file, _bytes(buffer), path)
        return FileState.of(file)


def _is_pickled(file: BinaryIO) -> bool:
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    return is_pickled(head)


def _whole(file: BinaryIO, path: Path) -> Tensor:
    """The file's bytes, (n,) uint8."""
    buffer = _empty_whole(file)
    file.seek(0)
    read_into(file, _bytes(buffer), path)
    return buffer


def _empty_whole(file: BinaryIO) -> Tensor:
    return empty_bytes(os.fstat(file.fileno()).st_size)


def _bytes(buffer: Tensor) -> memoryview:
    return buffer.numpy().data


def _views(buffer: Tensor, header: Header, path: Path) -> dict[str, Tensor]:
    """The tensors as views of the whole file, (n,) uint8; what odd padding misaligns stays bytes."""
    wide: dict[str, Tensor] = {}
    views: dict[str, Tensor] = {}
    for key, info in header.tensors.items():
        if info.dtype not in wide:
            dtype = _demand_dtype(key, info, path)
            wide[info.dtype] = buffer[: len(buffer) // dtype.itemsize * dtype.itemsize].view(dtype)
        byte = header.data_start + info.start
        start, misaligned = divmod(byte, STORED[info.dtype].size)
        if misaligned:
            views[key] = buffer[byte : header.data_start + info.end]
        else:
            views[key] = wide[info.dtype].as_strided(info.shape, _strides(info.shape), start)
    return views


def _is_misaligned(info: TensorInfo, header: Header) -> bool:
    return (header.data_start + info.start) % STORED[info.dtype].size != 0


def _aligned(views: dict[str, Tensor], header: Header, path: Path) -> dict[str, Tensor]:
    """The same, once the values are there: what is misaligned is copied."""
    for key, info in header.tensors.items():
        if _is_misaligned(info, header):
            views[key] = _shaped(views[key], key, info, path)
    return views


def _stretches(buffer: Tensor, header: Header, path: Path) -> tuple[Tensor, ...]:
    """Neighbours of one dtype as one flat tensor."""
    data = buffer[header.data_start :]
    infos = sorted(header.tensors.values(), key=attrgetter("start", "end"))
    stretches: list[Tensor] = []
    for dtype, group in groupby(infos, key=attrgetter("dtype")):
        found = list(group)
        start, end = found[0].start, found[-1].end
        size = (end - start) // STORED[dtype].size
        stretches.append(_shaped(data[start:end], "", TensorInfo(dtype, (size,), start, end), path))
    return tuple(stretches)


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a row-major tensor, in elements."""
    strides = [1] * len(shape)
    for place in range(len(shape) - 1, 0, -1):
        strides[place - 1] = strides[place] * shape[place]
    return tuple(strides)


def _read_one(file: BinaryIO, header: Header, key: str, info: TensorInfo, path: Path) -> Tensor:
    data = empty_bytes(info.end - info.start)
    file.seek(header.data_start + info.start)
    read_into(file, _bytes(data), path)
    return _shaped(data, key, info, path)


def _shaped(data: Tensor, key: str, info: TensorInfo, path: Path) -> Tensor:
    """Bytes (n,) as the tensor they are; copied only where a file's odd padding misaligns them."""
    dtype = _demand_dtype(key, info, path)
    if data.storage_offset() % dtype.itemsize:
        data = data.clone()
    return data.view(dtype).reshape(info.shape)


def _demand_dtype(key: str, info: TensorInfo, path: Path) -> torch.dtype:
    dtype = torch_dtype(info.dtype)
    if dtype is None:
        raise FileError(
            "This version of torch does not have the dtype of a tensor",
            where=f"{path}, tensor {key!r}",
            got=f"{info.dtype} with torch {torch.__version__}",
            remedy="Convert the file to float16, bfloat16 or float32.",
        )
    return dtype


def _chosen(found: Mapping[str, Item], keys: Collection[str] | None, path: Path) -> dict[str, Item]:
    if keys is None:
        return dict(found)
    missing = [key for key in keys if key not in found]
    if missing:
        raise FileError("The file lacks a tensor", where=str(path), expected=f"{missing[0]!r}")
    return {key: found[key] for key in keys}
