"""The dtypes that a safetensors file can hold, by the format's names."""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

import torch


class StoredDtype(NamedTuple):
    """How one dtype is stored."""

    size: int
    """Bytes per element."""
    torch_name: str
    """Attribute of `torch`; older versions lack the wide unsigned ones."""


STORED = MappingProxyType(
    {
        "BOOL": StoredDtype(1, "bool"),
        "U8": StoredDtype(1, "uint8"),
        "I8": StoredDtype(1, "int8"),
        "F8_E5M2": StoredDtype(1, "float8_e5m2"),
        "F8_E4M3": StoredDtype(1, "float8_e4m3fn"),
        "I16": StoredDtype(2, "int16"),
        "U16": StoredDtype(2, "uint16"),
        "F16": StoredDtype(2, "float16"),
        "BF16": StoredDtype(2, "bfloat16"),
        "I32": StoredDtype(4, "int32"),
        "U32": StoredDtype(4, "uint32"),
        "F32": StoredDtype(4, "float32"),
        "F64": StoredDtype(8, "float64"),
        "I64": StoredDtype(8, "int64"),
        "U64": StoredDtype(8, "uint64"),
    }
)
"""In the order of the reference implementation's `Dtype` enum. It lays out tensors from the last
of these to the first (the widest first, so that each stays aligned), then by name."""


def torch_dtype(name: str) -> torch.dtype | None:
    """The torch dtype of a stored one, or None where this torch does not have it."""
    found = getattr(torch, STORED[name].torch_name, None)
    return found if isinstance(found, torch.dtype) else None


def stored_name(dtype: torch.dtype) -> str | None:
    """The format's name of a torch dtype, or None if the format has none."""
    torch_name = str(dtype).removeprefix("torch.")
    return next((name for name, stored in STORED.items() if stored.torch_name == torch_name), None)
