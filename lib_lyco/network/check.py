"""Values that would turn a picture black."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SUMMED = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def num_not_finite(tensor: Tensor) -> int:
    """How many elements are NaN or infinite; 0 for integers and for tensors without values (meta)."""
    if tensor.is_meta or not tensor.is_floating_point():
        return 0
    # One cheap pass first: NaN and infinity survive a sum. Finite values may overflow it: counted below.
    if tensor.dtype in _SUMMED and math.isfinite(tensor.sum(dtype=torch.float32).item()):
        return 0
    wide = tensor if tensor.dtype in _SUMMED else tensor.float()
    return int((~torch.isfinite(wide)).sum())
