"""Tensors and metadata as the exact bytes of a safetensors file.

Order and header are those of the reference implementation (huggingface/safetensors), so hashes
over them equal kohya's; only the metadata's order differs, which is the given one here and random
there: the same tensors and metadata always make the same file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_lyco.errors import FileError
from lib_lyco.files.dtype import STORED, stored_name
from lib_lyco.files.header import MAX_HEADER_BYTES, METADATA_KEY

_ALIGNMENT = 8


@dataclass(frozen=True)
class Layout:
    """What to write, in order."""

    header: bytes
    """The length, the JSON and its padding."""
    tensors: tuple[Tensor, ...]
    """In the order of their bytes."""
    size: int
    """Bytes of the whole file."""

    def data(self) -> Iterator[memoryview]:
        """Yields each tensor's bytes; at most one tensor is copied at a time."""
        return (tensor_bytes(tensor) for tensor in self.tensors)


def lay_out(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Layout:
    """Orders the tensors and builds the header.

    Raises:
        FileError: The format cannot hold a tensor's dtype or layout, or the header grows too large.
    """
    names = {key: _demand_stored_name(key, tensor) for key, tensor in tensors.items()}
    rank = {name: place for place, name in enumerate(STORED)}
    order = sorted(tensors, key=lambda key: (-rank[names[key]], key))
    fields: dict[str, object] = {METADATA_KEY: dict(metadata)}
    end = 0
    for key in order:
        start, end = end, end + tensors[key].numel() * STORED[names[key]].size
        fields[key] = {"dtype": names[key], "shape": list(tensors[key].shape), "data_offsets": [start, end]}
    try:
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError as error:
        raise FileError("A name or the metadata is not valid text", got=str(error)) from error
    text += b" " * (-len(text) % _ALIGNMENT)
    if len(text) > MAX_HEADER_BYTES:
        raise FileError(
            "The metadata is too large for a safetensors file",
            got=f"{len(text)} bytes of header",
            expected=f"at most {MAX_HEADER_BYTES} bytes",
            remedy="Leave out cover images or other long texts.",
        )
    header = len(text).to_bytes(8, "little") + text
    return Layout(header, tuple(tensors[key] for key in order), len(header) + end)


def tensor_bytes(tensor: Tensor) -> memoryview:
    """The tensor's elements as bytes in row-major order; a view where it already lies so on the CPU."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def _demand_stored_name(key: str, tensor: Tensor) -> str:
    name = stored_name(tensor.dtype) if tensor.layout == torch.strided else None
    if key == METADATA_KEY or name is None:
        raise FileError(
            "The safetensors format cannot hold this tensor",
            where=repr(key),
            got=f"{tensor.dtype}, {tensor.layout}",
            expected=f"a dense tensor, {', '.join(stored.torch_name for stored in STORED.values())}",
        )
    return name
