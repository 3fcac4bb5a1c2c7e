"""LoRA and LoCon, and what can be written as one: y + s · up(down(x)).

The delta is never made. Beside the base layer's own product of t rows, forward costs t·r·(i + o) and
backward twice that; kept for it are x (which the base layer does not keep, being frozen) and the r
values of each row.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from lib_lyco.train.autograd.operation import Geometry, added_in_place, in_own_dtype, rows

_Gradients = tuple[Tensor | None, ...]
_How = tuple[float, "Geometry | None", "Tensor | None"]
"""Scale, geometry of a convolution, mask on the r values."""


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, how: _How, x: Tensor, y: Tensor, *tensors: Tensor) -> Tensor:
        scale, _, mask = how
        down, up = tensors
        with in_own_dtype(x.device):
            h = rows(x) @ down.to(x.dtype).T
            if mask is not None:
                h *= mask.expand(*x.shape[:-1], -1).reshape(h.shape)
            out = added_in_place(y)
            rows(out).addmm_(h, up.to(x.dtype).T, alpha=scale)
        ctx.scale = scale
        ctx.save_for_backward(x, h, down, up, mask)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> _Gradients:
        x, h, down, up, mask = ctx.saved_tensors
        (g,) = gradients
        flat = rows(g)
        with in_own_dtype(x.device):
            gh = flat @ up.to(g.dtype)
            gh *= ctx.scale
            if mask is not None:
                gh *= mask.expand(*x.shape[:-1], -1).reshape(gh.shape)
            gx = (gh @ down.to(g.dtype)).view(x.shape) if ctx.needs_input_grad[1] else None
            gdown = (gh.T @ rows(x)).to(down.dtype)
            gup = (flat.T @ h).mul_(ctx.scale).to(up.dtype)
        return None, gx, g, gdown, gup


class _Conv(Function):
    @staticmethod
    def forward(ctx: Any, how: _How, x: Tensor, y: Tensor, *tensors: Tensor) -> Tensor:
        scale, geometry, mask = how
        down, up = tensors
        assert geometry is not None
        with in_own_dtype(x.device):
            h = geometry.convolve(x, down.to(x.dtype))
            if mask is not None:
                h = h * mask
            out = added_in_place(y)
            factor = up.to(x.dtype).expand(len(h), -1, -1)
            out.view(*out.shape[:2], -1).baddbmm_(factor, h.flatten(2), alpha=scale)
        ctx.scale, ctx.geometry = scale, geometry
        ctx.save_for_backward(x, h, down, up, mask)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> _Gradients:
        x, h, down, up, mask = ctx.saved_tensors
        (g,) = gradients
        flat = g.flatten(2)
        with in_own_dtype(x.device):
            gh = torch.matmul(up.to(g.dtype).T, flat).mul_(ctx.scale).view(h.shape)
            if mask is not None:
                gh *= mask
            gx, gdown = ctx.geometry.backward(gh, x, down.to(g.dtype), ctx.needs_input_grad[1])
            gup = torch.bmm(flat, h.flatten(2).transpose(1, 2)).sum(0).mul_(ctx.scale)
        return None, gx, g, gdown.to(down.dtype), gup.to(up.dtype)


def add_low_rank(
    x: Tensor,
    y: Tensor,
    factors: tuple[Tensor, Tensor],
    scale: float,
    geometry: Geometry | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """y + scale · up(mask ⊙ down(x)).

    Args:
        x: (..., i), or (b, i, h, w) for a convolution.
        y: The base layer's output; its memory is taken.
        factors: down, (r, i) or (r, i, k, k), and up, (o, r).
        scale: alpha / rank.
        geometry: Of a convolution; None for a Linear.
        mask: Factors on the r values, that broadcast to them.
    """
    function = _Linear if geometry is None else _Conv
    return function.apply((scale, geometry, mask), x, y, *factors)  # type: ignore[no-any-return]


def face_split(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """A Hadamard product of two low-rank matrices as one: (u1·v1) ⊙ (u2·v2) = U·V of rank r1·r2.

    U = u1 • u2 by rows (face-splitting product), V by columns (Khatri-Rao): Slyusar 1999.

    Args:
        first: u1 (o, r1), v1 (r1, i).
        second: u2 (o, r2), v2 (r2, i).

    Returns:
        V (r1·r2, i) and U (o, r1·r2), in the order of `add_low_rank`.
    """
    (u1, v1), (u2, v2) = first, second
    up = (u1.unsqueeze(2) * u2.unsqueeze(1)).flatten(1)
    down = (v1.unsqueeze(1) * v2.unsqueeze(0)).flatten(0, 1)
    return down, up


def face_split_pays(rank: int, rows_of_weight: int, columns: int) -> bool:
    """Whether the rank² · (o + i) that each of the three products takes is less than a delta's o · i."""
    return rank * rank * (rows_of_weight + columns) < rows_of_weight * columns
