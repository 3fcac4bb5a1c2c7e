"""IA3: channels scaled by 1 + w, without a second product with the weight.

What is made is op(x, W · (1 + w)) + bias: on the output side y + w · (y - bias), on the input side the
layer itself on x · (1 + w).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from lib_lyco.train.autograd.operation import in_own_dtype

_Gradients = tuple[Tensor | None, ...]


def _along(vector: Tensor, x: Tensor, axis: int) -> Tensor:
    shape = [1] * x.dim()
    shape[axis] = -1
    return vector.reshape(shape)


class _Scale(Function):
    @staticmethod
    def forward(ctx: Any, axis: int, x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
        ctx.axis = axis
        ctx.save_for_backward(x, w, bias)
        with in_own_dtype(x.device):
            # x + w x, rounded once; 1 + w would be rounded before it meets x
            start = x if bias is None else x - _along(w.flatten() * bias, x, axis).to(x.dtype)
            return torch.addcmul(start, x, _along(w, x, axis).to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> _Gradients:
        x, w, bias = ctx.saved_tensors
        (g,) = gradients
        axis = ctx.axis % x.dim()
        others = [dim for dim in range(x.dim()) if dim != axis]
        with in_own_dtype(x.device):
            gw = (g * x).sum(others, dtype=w.dtype)
            if bias is not None:
                gw = gw - g.sum(others, dtype=w.dtype) * bias.to(w.dtype)
            gx = torch.addcmul(g, g, _along(w, x, axis).to(g.dtype)) if ctx.needs_input_grad[1] else None
        return None, gx, gw.view(w.shape), None


def scaled(x: Tensor, w: Tensor, axis: int, bias: Tensor | None = None) -> Tensor:
    """x · (1 + w) - bias · w along an axis; `bias` is frozen.

    Args:
        x: Any shape, with c channels on the axis.
        w: c values, of any shape.
        axis: -1 or 1.
        bias: (c,), what of x is not to be scaled.
    """
    return _Scale.apply(axis, x, w, bias)  # type: ignore[no-any-return]
