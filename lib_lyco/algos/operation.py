"""Running a layer's own operation (linear, conv) with another weight, for `bypass`."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lib_lyco.errors import AdapterError

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def is_conv(layer: nn.Module) -> bool:
    """Whether the layer convolves."""
    return isinstance(layer, _CONVS)


def weight_of(layer: nn.Module) -> Tensor:
    """Returns the layer's weight, (o, i) or (o, i / groups, ...).

    Raises:
        AdapterError: Neither a Linear nor a convolution.
    """
    if not isinstance(layer, (nn.Linear, *_CONVS)):
        raise AdapterError(
            "This layer cannot be bypassed.",
            where=type(layer).__name__,
            expected="a Linear or a convolution",
            remedy="Merge the network instead.",
        )
    return layer.weight


def operate(x: Tensor, layer: nn.Module, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns what the layer would make of `x` with this weight and bias.

    Stride, padding (with its mode), dilation and groups are the layer's.
    """
    if isinstance(layer, _CONVS):
        # Not F.conv2d: the layer's own method knows circular padding, and extensions for seamless
        # tiling replace it on the instance; a bypass has to follow what the layer does.
        forward = layer._conv_forward  # pyright: ignore[reportPrivateUsage]
        return forward(x, weight, bias)
    weight_of(layer)
    return F.linear(x, weight, bias)


def pointwise(x: Tensor, layer: nn.Module, weight: Tensor) -> Tensor:
    """Applies (o, r) per position, within the layer's groups: the second stage of a product.

    Args:
        x: (b, ..., r) for linear, (b, groups * r, ...) for conv.
        layer: Says which of the two, and the groups.
        weight: (o, r).
    """
    if not isinstance(layer, _CONVS):
        return F.linear(x, weight)
    spatial = layer.weight.dim() - 2
    kernel = weight.reshape(*weight.shape, *[1] * spatial)
    conv = (F.conv1d, F.conv2d, F.conv3d)[spatial - 1]
    return conv(x, kernel, groups=layer.groups)


def two_stage(x: Tensor, layer: nn.Module, up: Tensor, down: Tensor) -> Tensor:
    """Returns the output of the layer with weight `up @ down`, without forming the product.

    In a grouped conv each group sees only its own inputs, so `down` runs once per group and `up`
    takes the rows of its group: exactly the product's grouped conv.

    Args:
        x: The layer's input.
        layer: A Linear or a convolution with weight (o, i / groups, ...).
        up: (o, r).
        down: (r, i / groups * ...).
    """
    shape = weight_of(layer).shape
    kernel = down.reshape(down.shape[0], *shape[1:])
    if isinstance(layer, _CONVS) and layer.groups > 1:
        kernel = kernel.repeat(layer.groups, *[1] * (kernel.dim() - 1))
    return pointwise(operate(x, layer, kernel), layer, up)
