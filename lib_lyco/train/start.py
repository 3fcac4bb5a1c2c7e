"""Starting from files: training that goes on from a network, and networks merged into the base model."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lib_lyco.errors import AdapterError, ConfigError
from lib_lyco.models.presence import Presence
from lib_lyco.models.target import Target, Targets
from lib_lyco.network.network import Network
from lib_lyco.train.layer import TrainableLayer
from lib_lyco.train.layer_choice import whole
from lib_lyco.train.network import TrainableNetwork

_SAME: dict[str, tuple[str, ...]] = {"locon": ("lora",), "dylora": ("lora",), "tlora": ("lora", "tlora")}
"""Algorithms that store what another one does; of T-LoRA there are files of LyCORIS too."""


def continue_from(network: TrainableNetwork, file: Network, where: str) -> None:
    """Lets training start from the changes of a file. Layers that are not in it start as the identity.

    Where the file's scale is another, its factors take up the quotient: the change is the file's, and
    training goes on with the scale that the options ask for.

    Raises:
        ConfigError: The file holds layers that are not trained, another algorithm, or other sizes.
    """
    trained = {layer.layer for layer in network}
    odd = sorted(str(layer) for layer in file.adapters.keys() - trained)
    odd += [entry.key for entry in file.unknown]
    if odd:
        raise _misfit(
            f"{len(odd)} layers of it are not trained, the first is {odd[0]}",
            "only layers that are trained, or what the file knows of the others would be lost",
            where,
            "Train the same components and layers (conv_rank, preset), or name it in base_weights.",
        )
    for layer in network:
        if layer.layer in file.adapters:
            _load(layer, file, where)


def _load(layer: TrainableLayer, file: Network, where: str) -> None:
    adapter = file.adapters[layer.layer]
    algo, _, around = adapter.algo.partition("+")
    own = _SAME.get(layer.settings.algo, (layer.settings.algo,))
    if algo not in own or (around == "dora") != layer.settings.dora:
        raise _misfit(
            f"{adapter.algo} on {layer.layer}", own[0], where, "Set algo and dora as the file has them."
        )
    try:
        layer.load_parts(adapter.tensors(), adapter.scale)
        error = (adapter.delta(layer.weight.detach().float().cpu()) - layer.delta().cpu()).abs().max()
    except (ValueError, KeyError, AdapterError) as error:
        raise _misfit(
            f"{layer.layer}: {error}",
            f"{own[0]} of rank {layer.settings.rank}",
            where,
            "Set rank, conv_rank and the algorithm's options as the file has them, or dim_from_weights.",
        ) from error
    if not float(error) <= 1e-4 * (1 + float(layer.delta().abs().max())):
        raise _misfit(f"{layer.layer}: {adapter.algo}, read otherwise than trained", own[0], where, "")


def _misfit(got: str, expected: str, where: str, remedy: str) -> ConfigError:
    return ConfigError(
        "Training cannot go on from this file.",
        where=f"network_weights: {where}",
        got=got,
        expected=expected,
        remedy=remedy,
    )


@contextmanager
def merged_base(
    targets: Targets, networks: Sequence[tuple[Network, float, str]], presence: Presence | None = None
) -> Generator[None]:
    """Within this the base model includes the networks, each with its multiplier and name; at the end
    its own weights are there again, the same memory, untouched.

    Every change is computed against the original weight; the sum is made in float32 and rounded once.

    Args:
        targets: The base model's layers.
        networks: What to merge.
        presence: Of the run on the model, if others use it as well.

    Raises:
        ConfigError: A network has layers that the base model lacks.
        ModelError: The model keeps a layer of it fused with others.
    """
    _demand_all_used(targets, networks)
    merged: list[tuple[nn.Parameter, Tensor]] = []
    for layer, places in targets.items():
        on_it = [(network.adapters[layer], m) for network, m, _ in networks if layer in network.adapters]
        if on_it:
            weight, bias = _parameters(whole(layer, places))
            merged.append(
                (weight, _sum(weight.data, [m * one.delta(weight.data.float()) for one, m in on_it]))
            )
            shifts = [] if bias is None else [(m, adapter.bias_delta(bias.data)) for adapter, m in on_it]
            found = [m * shift for m, shift in shifts if shift is not None]
            if bias is not None and found:
                merged.append((bias, _sum(bias.data, found)))
    with (presence or Presence()).holding(_Merged(merged), of_base=True):
        yield


class _Merged:
    """Weights that stand in for those of the base model."""

    def __init__(self, merged: Sequence[tuple[nn.Parameter, Tensor]]) -> None:
        self._merged = merged
        self._originals: list[tuple[nn.Parameter, Tensor]] = []

    def put_on(self) -> None:
        self._originals = [(parameter, parameter.data) for parameter, _ in self._merged]
        for parameter, tensor in self._merged:
            parameter.data = tensor

    def take_off(self) -> None:
        for parameter, original in self._originals:
            parameter.data = original
        self._originals = []


def _demand_all_used(targets: Targets, networks: Sequence[tuple[Network, float, str]]) -> None:
    for network, _, where in networks:
        odd: list[str] = sorted(str(layer) for layer in network.adapters.keys() - targets.keys())
        odd += [entry.key for entry in network.unknown]
        if odd:
            raise ConfigError(
                "A network cannot be merged into the base model.",
                where=f"base_weights: {where}",
                got=f"{len(odd)} layers that the model lacks, the first is {odd[0]}",
                expected="a network for this base model",
            )


def _parameters(target: Target) -> tuple[nn.Parameter, nn.Parameter | None]:
    return getattr(target.module, target.weight), getattr(target.module, target.bias, None)


@torch.no_grad()
def _sum(original: Tensor, changes: Sequence[Tensor]) -> Tensor:
    total = original.float()
    for change in changes:
        total = total + change.to(original.device).reshape(original.shape)
    return total.to(original.dtype)
