"""A layer with an adapter put on it the plain way: new weight, new bias, the layer's own forward."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from lib_lyco.algos.adapter import Adapter
from tests.oracles.layers import LayerCase


def trained_change(adapter: Adapter, case: LayerCase) -> Tensor:
    """What merging the adapter at multiplier 1 adds to the layer's output."""
    layer = copy.deepcopy(case.layer)
    change = adapter.bias_delta(layer.bias)
    with torch.no_grad():
        layer.weight += adapter.delta(layer.weight)
        if change is not None:
            old = torch.zeros_like(change) if layer.bias is None else layer.bias
            layer.bias = nn.Parameter(old + change)
        return layer(case.x) - case.layer(case.x)
