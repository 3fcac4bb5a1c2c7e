"""Which parameters share a learning rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from torch import nn

from lib_lyco.naming.layer import Component
from lib_lyco.train.network import TrainableLayer
from lib_lyco.train.optim import Group

_UP = ("lora_up.", "up_list.", "hada_w1_a", "hada_w2_a")
"""Parameters on the side of a layer's output, by lycoris' names: LoRA and LoCon, DyLoRA, LoHa."""


@dataclass(frozen=True)
class Rates:
    """The learning rate of everything."""

    components: Mapping[Component, float]
    """0 leaves a component out."""
    up_ratios: Mapping[Component, float] = field(default_factory=dict[Component, float])
    """LoRA+ (arXiv 2402.12354, equation 5): what the upper factors' rate is multiplied by."""
    until: Mapping[Component, int] = field(default_factory=dict[Component, int])
    """The step (from 0) at which a component is frozen."""
    block_weight: Callable[[TrainableLayer], tuple[str, float]] | None = None
    """A layer's block, for the group's name, and what its rate is multiplied by."""


def make_groups(layers: Iterable[TrainableLayer], rates: Rates) -> list[Group]:
    """Groups in the order of their first layer; what learns alike is one group.

    A group is called by its component, and where that has several, by block and factor: `unet`, `te1 up`,
    `unet 4`.
    """
    found: dict[tuple[str, Component, float], list[nn.Parameter]] = {}
    for layer in layers:
        component = layer.layer.component
        rate = rates.components[component]
        block, weight = "", 1.0
        if rates.block_weight is not None and component == "unet":
            block, weight = rates.block_weight(layer)
        ratio = rates.up_ratios.get(component, 1.0)
        for parameter, is_up in _parameters(layer):
            up = ratio != 1 and is_up
            name = " ".join(part for part in (component, block, "up" if up else "") if part)
            key = (name, component, rate * weight * (ratio if up else 1.0))
            found.setdefault(key, []).append(parameter)
    return [
        Group(name, parameters, rate, rates.until.get(component))
        for (name, component, rate), parameters in found.items()
    ]


def _parameters(layer: TrainableLayer) -> list[tuple[nn.Parameter, bool]]:
    """What is trained of a layer, and whether it is an upper factor."""
    return [
        (parameter, name.startswith(_UP))
        for name, parameter in layer.module.named_parameters()
        if parameter.requires_grad
    ]
