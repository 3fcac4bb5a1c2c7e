"""LoKr: y + s · (w1 ⊗ w2)(x) in two small products, without the Kronecker product.

The input's channels are c groups of n, the output's l groups of k: w2 (k, n) maps each group, w1 (l, c)
mixes the groups. A row costs i·k + c·o in place of i·o. Only x is kept for the backward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from lib_lyco.train.autograd.operation import Geometry, added_in_place, in_own_dtype, rows

_Gradients = tuple[Tensor | None, ...]
_How = tuple[float, "Geometry | None"]
"""Scale, geometry of a convolution."""


def _mix(w1: Tensor, m: Tensor) -> Tensor:
    """(l, c) and (t, c, k) -> (t, l, k)."""
    return torch.bmm(w1.expand(len(m), -1, -1), m)


def _summed(g: Tensor, m: Tensor) -> Tensor:
    """(t, l, k) and (t, c, k) -> (l, c). On a CPU six times as fast as one product over t and k, for
    which both would have to be turned around."""
    return torch.bmm(g, m.transpose(1, 2)).sum(0)


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, how: _How, x: Tensor, y: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        scale, _ = how
        (_, c), (k, n) = w1.shape, w2.shape
        with in_own_dtype(x.device):
            m = (x.reshape(-1, n) @ w2.to(x.dtype).T).view(-1, c, k)
            out = added_in_place(y)
            # one pass that adds, in place of the product and then a sum
            factor = w1.to(x.dtype).expand(len(m), -1, -1)
            rows(out).view(len(m), -1, k).baddbmm_(factor, m, alpha=scale)
        ctx.scale = scale
        ctx.save_for_backward(x, w1, w2)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> _Gradients:
        x, w1, w2 = ctx.saved_tensors
        (g,) = gradients
        (l, c), (k, n) = w1.shape, w2.shape  # noqa: E741, the formula's letter
        with in_own_dtype(x.device):
            first, second = w1.to(g.dtype), w2.to(g.dtype)
            flat = x.reshape(-1, n)
            m = (flat @ second.T).view(-1, c, k)
            grouped = g.reshape(-1, l, k)
            gw1 = _summed(grouped, m).mul_(ctx.scale)
            gm = _mix(first.T, grouped).mul_(ctx.scale).view(-1, k)
            gw2 = gm.T @ flat
            gx = (gm @ second).view(x.shape) if ctx.needs_input_grad[1] else None
        return None, gx, g, gw1.to(w1.dtype), gw2.to(w2.dtype)


class _Conv(Function):
    @staticmethod
    def forward(ctx: Any, how: _How, x: Tensor, y: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        scale, geometry = how
        assert geometry is not None
        with in_own_dtype(x.device):
            m = _groups_convolved(geometry, x, w1, w2.to(x.dtype))
            out = added_in_place(y)
            factor = w1.to(x.dtype).expand(len(m), -1, -1)
            out.view(len(m), len(w1), -1).baddbmm_(factor, m, alpha=scale)
        ctx.scale, ctx.geometry = scale, geometry
        ctx.save_for_backward(x, w1, w2)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> _Gradients:
        x, w1, w2 = ctx.saved_tensors
        (g,) = gradients
        b, _, height, width = g.shape
        c, k = w1.shape[1], len(w2)
        with in_own_dtype(x.device):
            first, second = w1.to(g.dtype), w2.to(g.dtype)
            m = _groups_convolved(ctx.geometry, x, w1, second)
            grouped = g.reshape(b, len(w1), -1)
            gw1 = _summed(grouped, m).mul_(ctx.scale)
            gm = _mix(first.T, grouped).mul_(ctx.scale).view(b * c, k, height, width)
            folded = x.reshape(b * c, -1, *x.shape[2:])
            gx, gw2 = ctx.geometry.backward(gm, folded, second, ctx.needs_input_grad[1])
        gx = None if gx is None else gx.view(x.shape)
        return None, gx, g, gw1.to(w1.dtype), gw2.to(w2.dtype)


def _groups_convolved(geometry: Geometry, x: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
    """(b, c·n, h, w) -> (b, c, k·h'·w'): each group of channels by w2."""
    b, c = len(x), w1.shape[1]
    return geometry.convolve(x.reshape(b * c, -1, *x.shape[2:]), w2).reshape(b, c, -1)


def add_kronecker(
    x: Tensor,
    y: Tensor,
    factors: tuple[Tensor, Tensor],
    scale: float,
    geometry: Geometry | None = None,
) -> Tensor:
    """y + scale · op(x, w1 ⊗ w2).

    Args:
        x: (..., c·n), or (b, c·n, h, w) for a convolution.
        y: The base layer's output; its memory is taken.
        factors: w1 (l, c), w2 (k, n) or (k, n, kh, kw).
        scale: alpha / rank.
        geometry: Of a convolution; None for a Linear.
    """
    function = _Linear if geometry is None else _Conv
    return function.apply((scale, geometry), x, y, *factors)  # type: ignore[no-any-return]
