"""One CPU, float32: the stand-in has nothing else."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

cpu = torch.device("cpu")
device = cpu
dtype = dtype_unet = dtype_vae = dtype_inference = torch.float32
fp8 = False
unet_needs_upcast = False


def autocast(disable: bool = False) -> AbstractContextManager[None]:
    """Nothing to cast."""
    del disable
    return nullcontext()


def without_autocast(disable: bool = False) -> AbstractContextManager[None]:
    """Nothing to undo."""
    return autocast(disable)


def torch_gc() -> None:
    """No cache to empty."""


def cond_cast_unet(tensor: Tensor) -> Tensor:
    """To the denoiser's dtype."""
    return tensor.to(dtype_unet)
