"""The arms of the comparison: the same networks put on the same weights in different ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from peft import LoraConfig
from peft.tuners.lora import Conv2d, Linear, LoraLayer
from torch import Tensor, nn

from bench.apply.model import MadeUpModel
from lib_lyco.algos.lora import Lora
from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Wanted
from lib_lyco.naming.layer import LayerName
from lib_lyco.network.network import Network


class Arm(Protocol):
    """One way of applying. `held` counts the bytes kept beside the model's own weights."""

    def start(self) -> None:
        """Forgets everything, so that the next `apply` is the first."""
        ...

    def apply(self, wanted: Sequence[tuple[Network, float]]) -> None: ...

    def off(self) -> None: ...

    def held(self) -> int: ...


class Ours:
    """`lib_lyco.apply`. The weights are the originals bit for bit whenever it is off."""

    def __init__(self, model: MadeUpModel, budget_bytes: int = 0) -> None:
        self._model = model
        self._budget_bytes = budget_bytes
        self.start()

    def start(self) -> None:
        self._session = Session(self._model.targets(), self._budget_bytes)
        self._report = self._session.restore()

    def apply(self, wanted: Sequence[tuple[Network, float]]) -> None:
        self._report = self._session.apply([Wanted(network, te=m, unet=m) for network, m in wanted])
        assert not self._report.problems

    def off(self) -> None:
        self._report = self._session.restore()

    def held(self) -> int:
        return self._report.backup_bytes + self._report.parked_bytes


class LayerByLayer:
    """The arithmetic of the AUTOMATIC1111 WebUI's builtin Lora extension, without its other costs.

    On first use it copies the weight of every layer it could ever touch; on every change, also of a
    multiplier, it copies all of them back, then for each layer and network forms `up @ down`, times
    scale, times multiplier, adds it and copies the result in (extensions-builtin/Lora/networks.py,
    `network_apply_weights`, and network.py, `finalize_updown`, of version 1.10). Left out, to its
    advantage: reading the file again, building modules for the factors, the check in each forward.
    """

    def __init__(self, model: MadeUpModel) -> None:
        self._modules = model.by_layer
        self._backup: dict[nn.Module, Tensor] = {}

    def start(self) -> None:
        self._backup = {}

    @torch.no_grad()
    def apply(self, wanted: Sequence[tuple[Network, float]]) -> None:
        if self._backup:
            self._copy_back()
        else:
            self._backup = {
                module: module.get_parameter("weight").detach().clone() for module in self._modules.values()
            }
        for network, multiplier in wanted:
            for layer, adapter in network.adapters.items():
                assert isinstance(adapter, Lora)
                weight = self._modules[layer].get_parameter("weight")
                up, down = adapter.up.to(weight.dtype), adapter.down.to(weight.dtype)
                updown = (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
                updown = updown * adapter.scale * multiplier
                weight.copy_((weight.to(dtype=updown.dtype) + updown).to(dtype=weight.dtype))

    def off(self) -> None:
        if self._backup:
            self._copy_back()

    def held(self) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in self._backup.values())

    @torch.no_grad()
    def _copy_back(self) -> None:
        for module, weight in self._backup.items():
            module.get_parameter("weight").copy_(weight)


class Peft:
    """PEFT's merge of the same factors, which adds the delta in place and later subtracts it again.

    It keeps no backup, so what it leaves behind is not the original but near it.
    """

    def __init__(self, model: MadeUpModel, networks: Sequence[Network]) -> None:
        self._layers = [_wrap(model.by_layer[layer], layer, networks) for layer in model.lora_layers()]

    def start(self) -> None:
        """Nothing is kept that could be forgotten."""

    def apply(self, wanted: Sequence[tuple[Network, float]]) -> None:
        self.off()
        for wrapped in self._layers:
            for network, multiplier in wanted:
                wrapped.set_scale(network.name, multiplier)
            wrapped.merge(adapter_names=[network.name for network, _ in wanted])

    def off(self) -> None:
        for wrapped in self._layers:
            if wrapped.merged:
                wrapped.unmerge()

    def held(self) -> int:
        return 0


def _wrap(module: nn.Module, layer: LayerName, networks: Sequence[Network]) -> LoraLayer:
    """Returns PEFT's layer around a module, with one adapter per network."""
    wrapped: LoraLayer | None = None
    for network in networks:
        adapter = network.adapters[layer]
        assert isinstance(adapter, Lora)
        rank, alpha = adapter.rank, round(adapter.scale * adapter.rank)
        config = LoraConfig(r=rank, lora_alpha=alpha)
        if wrapped is None:
            kind = Linear if isinstance(module, nn.Linear) else Conv2d
            wrapped = kind(module, network.name, config, r=rank, lora_alpha=alpha)
        else:
            wrapped.update_layer(network.name, rank, lora_alpha=alpha, config=config)
        for part, tensor in (("lora_B", adapter.up), ("lora_A", adapter.down)):
            weight = wrapped.get_submodule(f"{part}.{network.name}").get_parameter("weight")
            weight.data.copy_(tensor)
    assert wrapped is not None
    return wrapped
