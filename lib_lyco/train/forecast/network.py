"""Adapters, parameters and the file, out of a network that need not have values."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lib_lyco.files.layout import lay_out
from lib_lyco.naming.blocks import block_names, block_of
from lib_lyco.naming.kohya import kohya_stem
from lib_lyco.naming.layer import Component, Family
from lib_lyco.train.forecast.content import BlockLine, FileForecast, GroupLine
from lib_lyco.train.network import TrainableNetwork
from lib_lyco.train.optim import Group
from lib_lyco.train.schedules import Factor

_POINTS = 40


def forecast_blocks(network: TrainableNetwork, family: Family, dtype: torch.dtype) -> list[BlockLine]:
    """The adapters by component and block, in the order of the model; bytes as a file of `dtype` has."""
    found: dict[tuple[Component, str], list[tuple[int, int]]] = {}
    for layer in network:
        parameters = sum(parameter.numel() for parameter in layer.parameters)
        stored = sum(part.numel() for part in layer.parts().values()) * dtype.itemsize
        place = layer.layer.component, block_of(layer.layer, family)
        found.setdefault(place, []).append((parameters, stored))
    order = block_names(family)
    return [
        BlockLine(component, block, len(sizes), sum(p for p, _ in sizes), sum(b for _, b in sizes))
        for (component, block), sizes in sorted(
            found.items(), key=lambda item: (item[0][0] == "unet", item[0][0], order.index(item[0][1]))
        )
    ]


def forecast_file(network: TrainableNetwork, family: Family, dtype: torch.dtype) -> FileForecast:
    """The sizes of the file that `save` writes: all but metadata."""
    tensors: dict[str, Tensor] = {}
    for layer in network:
        stem = kohya_stem(layer.layer, family)
        tensors |= {f"{stem}.{part}": tensor.to(dtype) for part, tensor in layer.parts().items()}
    layout = lay_out(tensors, {})
    index = len(layout.header)
    return FileForecast(tensors=layout.size - index, index=index)


def forecast_groups(groups: Sequence[Group], factor: Factor, total: int) -> list[GroupLine]:
    """The learning rate of each group over the steps of a run, as `Optimisation` sets it."""
    steps = sorted({round(index * (total - 1) / (_POINTS - 1)) for index in range(_POINTS)})
    return [
        GroupLine(
            name=group.name,
            parameters=sum(parameter.numel() for parameter in group.parameters),
            learning_rate=group.learning_rate,
            until=group.until,
            curve=[(step, _rate(group, factor, step)) for step in steps],
        )
        for group in groups
    ]


def _rate(group: Group, factor: Factor, step: int) -> float:
    frozen = group.until is not None and step >= group.until
    return 0.0 if frozen else group.learning_rate * factor(step)
