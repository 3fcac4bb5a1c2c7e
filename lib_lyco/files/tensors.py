"""Tensors out of a file: safetensors, and what torch.save made (.pt, .ckpt, .bin), without its code.

A file is read once, into memory of our own, and its tensors are views of that. Nothing stays
mapped or open: the file can be replaced while its network is in use, on Windows too.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import torch
from torch import Tensor

from lib_lyco.errors import FileError
from lib_lyco.files.access import read_into, reading
from lib_lyco.files.dtype import torch_dtype
from lib_lyco.files.hashes import read_with_content_id
from lib_lyco.files.header import Header, TensorInfo, parse_header
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
    """As `hashes.content_id`."""


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
            return _views(_whole(file, place), header, place)
        return {
            key: _read_one(file, header, key, info, place)
            for key, info in _chosen(header.tensors, keys, place).items()
        }


def read_content(path: str | os.PathLike[str]) -> Content:
    """Reads a whole network file: tensors, metadata and identity, in one pass.

    Raises:
        FileError, UnsafeFileError: As for `read_tensors`.
    """
    place = Path(path)
    with reading(place) as file:
        pickled = _is_pickled(file)
        tensors = read_pickled(file, place) if pickled else {}
        header = None if pickled else parse_header(file, place)
        buffer = _empty_whole(file)
        content_id = read_with_content_id(file, _bytes(buffer), place)
    if header is None:
        return Content(tensors, {}, content_id)
    return Content(_views(buffer, header, place), header.metadata, content_id)


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
    data = buffer[header.data_start :]
    return {
        key: _shaped(data[info.start : info.end], key, info, path) for key, info in header.tensors.items()
    }


def _read_one(file: BinaryIO, header: Header, key: str, info: TensorInfo, path: Path) -> Tensor:
    data = empty_bytes(info.end - info.start)
    file.seek(header.data_start + info.start)
    read_into(file, _bytes(data), path)
    return _shaped(data, key, info, path)


def _shaped(data: Tensor, key: str, info: TensorInfo, path: Path) -> Tensor:
    """Bytes (n,) as the tensor they are; copied only where a file's odd padding misaligns them."""
    dtype = torch_dtype(info.dtype)
    if dtype is None:
        raise FileError(
            "This version of torch does not have the dtype of a tensor",
            where=f"{path}, tensor {key!r}",
            got=f"{info.dtype} with torch {torch.__version__}",
            remedy="Convert the file to float16, bfloat16 or float32.",
        )
    if data.storage_offset() % dtype.itemsize:
        data = data.clone()
    return data.view(dtype).reshape(info.shape)


def _chosen(found: dict[str, Item], keys: Collection[str] | None, path: Path) -> dict[str, Item]:
    if keys is None:
        return found
    missing = [key for key in keys if key not in found]
    if missing:
        raise FileError("The file lacks a tensor", where=str(path), expected=f"{missing[0]!r}")
    return {key: found[key] for key in keys}
