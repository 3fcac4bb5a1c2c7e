"""What the passes of all algorithms share: a layer's operation on a weight, and its gradients.

Each function here and beside it takes the base layer's output `y` and returns `y` with the change added
**in its own memory**: an output of a Linear or Conv2d is saved by nobody, for their backward needs only
input and weight. That spares one allocation and one pass over every output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional


@dataclass(frozen=True)
class Geometry:
    """How a convolution moves over its input."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """(b, i, h, w) and (o, i, k, k) -> (b, o, h', w')."""
        return functional.conv2d(x, weight, None, self.stride, self.padding, self.dilation)

    def backward(self, g: Tensor, x: Tensor, weight: Tensor, wants_x: bool) -> tuple[Tensor | None, Tensor]:
        """Gradients of input and weight for a gradient (b, o, h', w') of the output."""
        gx, gweight, _ = torch.ops.aten.convolution_backward(
            g,
            x,
            weight,
            None,
            self.stride,
            self.padding,
            self.dilation,
            False,
            [0] * len(self.stride),
            1,
            [wants_x, True, False],
        )
        return gx, gweight


def geometry_of(module: nn.Module) -> Geometry | None:
    """The geometry of a convolution; None for a Linear.

    Raises:
        TypeError: It is grouped or padded by words; no layer of Stable Diffusion is.
    """
    if not isinstance(module, nn.Conv2d):
        return None
    if module.groups != 1 or isinstance(module.padding, str):
        raise TypeError(f"a convolution with groups={module.groups}, padding={module.padding!r}")
    return Geometry(module.stride, module.padding, module.dilation)


def rows(x: Tensor) -> Tensor:
    """(..., i) -> (t, i); a view where memory allows."""
    return x.reshape(-1, x.shape[-1])


def in_own_dtype(device: torch.device) -> AbstractContextManager[object]:
    """Without autocast: the passes choose their dtypes themselves."""
    return torch.autocast(device.type, enabled=False) if _can_autocast(device) else nullcontext()


def autocasts(device: torch.device) -> bool:
    """Whether autocast is on for a device."""
    if not _can_autocast(device):
        return False
    if hasattr(torch.amp, "is_autocast_available"):  # from torch 2.4 on
        return torch.is_autocast_enabled(device.type)
    return torch.is_autocast_cpu_enabled() if device.type == "cpu" else torch.is_autocast_enabled()


def _can_autocast(device: torch.device) -> bool:
    if hasattr(torch.amp, "is_autocast_available"):
        return torch.amp.is_autocast_available(device.type)
    return device.type in ("cpu", "cuda")


def added_in_place(y: Tensor) -> Tensor:
    """`y`'s memory, contiguous, to add to; the caller returns it in `y`'s place."""
    return y.data if y.is_contiguous() else y.data.contiguous()


class _Dense(Function):
    """y += op(x, delta), the delta made anew in the backward pass instead of being kept."""

    @staticmethod
    def forward(
        ctx: Any,
        make: Callable[[], Tensor],
        geometry: Geometry | None,
        x: Tensor,
        y: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        ctx.make, ctx.geometry, ctx.parameters = make, geometry, parameters
        ctx.save_for_backward(x)
        out = added_in_place(y)
        with in_own_dtype(x.device):
            delta = make().to(x.dtype)
            if geometry is None:
                rows(out).addmm_(rows(x), delta.flatten(1).T)
            else:
                out.add_(geometry.convolve(x, delta))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients
        (x,) = ctx.saved_tensors
        wants_x: bool = ctx.needs_input_grad[2]
        with in_own_dtype(x.device):
            with torch.enable_grad():
                delta: Tensor = ctx.make()
            weight = delta.detach().to(g.dtype)
            gx: Tensor | None
            if ctx.geometry is None:
                flat = rows(g)
                gweight = flat.T @ rows(x)
                gx = (flat @ weight.flatten(1)).view(x.shape) if wants_x else None
            else:
                gx, gweight = ctx.geometry.backward(g, x, weight, wants_x)
            learning: Sequence[Tensor] = ctx.parameters
            gparameters = torch.autograd.grad(
                delta, learning, gweight.view(delta.shape).to(delta.dtype), allow_unused=True
            )
        return None, None, gx, g, *gparameters


def add_dense(
    x: Tensor,
    y: Tensor,
    geometry: Geometry | None,
    make: Callable[[], Tensor],
    parameters: Sequence[Tensor],
) -> Tensor:
    """y + op(x, delta) for any delta.

    Args:
        x: (..., i) or (b, i, h, w).
        y: The base layer's output; its memory is taken.
        geometry: Of a convolution; None for a Linear.
        make: The delta, (o, i, ...), differentiable in the parameters; called once in each pass.
        parameters: What learns.
    """
    return _Dense.apply(make, geometry, x, y, *parameters)  # type: ignore[no-any-return]
