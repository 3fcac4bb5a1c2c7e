"""sd-scripts' published formulas, in float64, with explicit loops and dense matrices.

Sources: networks/oft.py (OFTModule.get_weight), networks/dylora.py (DyLoRAModule.forward). Written
from the formulas, on purpose unlike the library's own code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def oft_weight(weight: Tensor, blocks: Tensor, constraint: float) -> Tensor:
    """R-transposed times the weight, R block-diagonal and dense, each block a Cayley transform."""
    o = weight.shape[0]
    q = blocks.double() - blocks.double().transpose(1, 2)
    norm = math.sqrt(float((q * q).sum()))
    allowed = min(norm, constraint * o)
    q = q * ((allowed + 1e-8) / (norm + 1e-8))
    eye = torch.eye(q.shape[-1], dtype=torch.float64)
    turns = [(eye + block) @ torch.inverse(eye - block) for block in q]
    dense = torch.block_diag(*turns)
    return (dense.T @ weight.double().reshape(o, -1)).reshape(weight.shape)


def dylora_delta(up: Tensor, down: Tensor, alpha: float, sub_rank: int) -> Tensor:
    """What a DyLoRA step at `sub_rank` adds to a weight: one outer product after the other."""
    rank = down.shape[0]
    scale = alpha / rank * math.sqrt(rank / sub_rank)
    total = torch.zeros(up.shape[0], down.flatten(1).shape[1], dtype=torch.float64)
    for index in range(sub_rank):
        total += torch.outer(up.flatten(1)[:, index].double(), down.flatten(1)[index].double())
    return total * scale
