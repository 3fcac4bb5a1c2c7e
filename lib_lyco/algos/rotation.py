"""Orthogonal matrices from skew-symmetric ones, and blocks of them on a weight's rows.

The blocks are small, so they are made on the CPU in float64: no accelerator backend need offer a
solver, and R - I, which is what a delta is made of, keeps its leading digits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lib_lyco.errors import AdapterError


def skew(blocks: Tensor) -> Tensor:
    """Returns Q = B - Bᵀ of (..., b, b) on the CPU in float64."""
    blocks = blocks.detach().cpu().double()
    return blocks - blocks.transpose(-1, -2)


def constrained(q: Tensor, limit: float) -> Tensor:
    """Returns Q, shrunk to Frobenius norm `limit` over all its blocks together if it exceeds it."""
    norm = float(torch.linalg.vector_norm(q)) + 1e-8
    return q * (limit / norm) if norm > limit else q


def cayley_minus_identity(q: Tensor) -> Tensor:
    """Returns R - I for R = (I + Q)(I - Q)⁻¹, Q skew-symmetric (..., b, b).

    It equals 2 (I - Q)⁻¹ Q, in which nothing cancels. I - Q is always invertible.

    Raises:
        AdapterError: Q has NaN or Inf.
    """
    if not torch.isfinite(q).all():
        raise AdapterError(
            "The blocks of a rotation are not finite.",
            got="NaN or Inf",
            remedy="The training run diverged; use an earlier checkpoint.",
        )
    return 2 * torch.linalg.solve(torch.eye(q.shape[-1], dtype=q.dtype) - q, q)


def turn_rows(change: Tensor, rows: Tensor) -> Tensor:
    """Returns (R - I)ᵀ on consecutive blocks of rows.

    Args:
        change: R - I, (n, b, b).
        rows: (n * b, j).
    """
    blocks = rows.reshape(change.shape[0], change.shape[1], -1)
    return torch.einsum("knm,knj->kmj", change, blocks).reshape(rows.shape)
