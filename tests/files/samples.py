"""Small tensors of every kind a network file may hold."""

from __future__ import annotations

import torch
from torch import Tensor


def mixed_tensors(seed: int = 0) -> dict[str, Tensor]:
    """Names and dtypes in an order that the format has to change; shapes down to none and to empty."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return {
        "lora_unet_b.lora_up.weight": normal(6, 2).half(),
        "lora_unet_b.alpha": torch.tensor(4.0).half(),
        "lora_unet_a.lora_down.weight": normal(2, 3, 3, 3),
        "lora_unet_a.alpha": torch.tensor(2.0),
        "lora_te_ü.lora_down.weight": normal(2, 5).bfloat16(),
        "z.steps": torch.tensor([7, 8, 9]),
        "z.on_input": torch.tensor(True),
        "z.small": torch.tensor([1, -2], dtype=torch.int8),
        "z.bytes": torch.tensor([1, 2, 3], dtype=torch.uint8),
        "z.short": torch.tensor([1, 2, 3], dtype=torch.int16),
        "z.int": torch.tensor([1, 2, 3], dtype=torch.int32),
        "z.double": normal(3).double(),
        "z.empty": torch.empty(0, 4),
        "z.f8": normal(5).to(torch.float8_e4m3fn),
        "z.f8b": normal(5).to(torch.float8_e5m2),
    }


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """Whether two mappings hold bit-identical tensors under the same names."""
    return left.keys() == right.keys() and all(identical(left[key], right[key]) for key in left)


def identical(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors agree in dtype, shape and every bit (NaN equals itself)."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    as_bytes = [t.contiguous().reshape(-1).view(torch.uint8) for t in (left, right)]
    return torch.equal(as_bytes[0], as_bytes[1])
