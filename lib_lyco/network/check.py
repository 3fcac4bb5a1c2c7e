"""Values that would turn a picture black."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

_PIECE = 1 << 21
"""Elements."""

_COMPARED = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def num_not_finite(tensor: Tensor) -> int:
    """How many elements are NaN or infinite; 0 for integers and for tensors without values (meta)."""
    if tensor.is_meta or not tensor.is_floating_point() or not tensor.numel():
        return 0
    # One cheap pass first: an infinite value is the least or the greatest, and NaN is both.
    if tensor.dtype in _COMPARED:
        if math.isfinite(tensor.min().item()) and math.isfinite(tensor.max().item()):
            return 0
        return int((~torch.isfinite(tensor)).sum())
    return int((~torch.isfinite(tensor.float())).sum())


def all_finite(tensors: Sequence[Tensor]) -> bool:
    """Whether no element is NaN or infinite; in pieces on two threads, for many values."""
    pieces = [piece for tensor in tensors for piece in tensor.flatten().split(_PIECE)]
    with ThreadPoolExecutor(2) as pool:
        return not any(pool.map(num_not_finite, pieces))
