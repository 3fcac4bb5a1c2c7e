"""Starting from files: training that goes on from a network, and networks merged into the base model."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lib_lyco.errors import AdapterError, ConfigError
from lib_lyco.models.target import Target, Targets
from lib_lyco.network.network import Network
from lib_lyco.train.layer import TrainableLayer
from lib_lyco.train.layer_choice import whole
from lib_lyco.train.network import TrainableNetwork

_SAME: dict[str, str] = {"locon": "lora", "dylora": "lora"}
"""Algorithms that store what another one does."""


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
    own = _SAME.get(layer.settings.algo, layer.settings.algo)
    if algo != own or (around == "dora") != layer.settings.dora:
        raise _misfit(
            f"{adapter.algo} on {layer.layer}", own, where, "Set algo and dora as the file has them."
        )
    try:
        layer.load_parts(adapter.tensors(), adapter.scale)
        error = (adapter.delta(layer.weight.detach().float().cpu()) - layer.delta().cpu()).abs().max()
    except (ValueError, KeyError, AdapterError) as error:
        raise _misfit(
            f"{layer.layer}: {error}",
            f"{own} of rank {layer.settings.rank}",
            where,
            "Set rank, conv_rank and the algorithm's options as the file has them, or dim_from_weights.",
        ) from error
    if not float(error) <= 1e-4 * (1 + float(layer.delta().abs().max())):
        raise _misfit(f"{layer.layer}: {adapter.algo}, read otherwise than trained", own, where, "")


def _misfit(got: str, expected: str, where: str, remedy: str) -> ConfigError:
    return ConfigError(
        "Training cannot go on from this file.",
        where=f"network_weights: {where}",
        got=got,
        expected=expected,
        remedy=remedy,
    )


@contextmanager
def merged_base(targets: Targets, networks: Sequence[tuple[Network, float, str]]) -> Generator[None]:
    """Within this the base model includes the networks, each with its multiplier and name; at the end
    its own weights are there again, the same memory, untouched.

    Every change is computed against the original weight; the sum is made in float32 and rounded once.

    Raises:
        ConfigError: A network has layers that the base model lacks.
        ModelError: The model keeps a layer of it fused with others.
    """
    originals: list[tuple[nn.Parameter, Tensor]] = []
    try:
        for layer, places in targets.items():
            on_it = [
                (network.adapters[layer], m) for network, m, _ in networks if layer in network.adapters
            ]
            if not on_it:
                continue
            target = whole(layer, places)
            weight, bias = _parameters(target)
            changes = [m * adapter.delta(weight.data.float()) for adapter, m in on_it]
            originals.append((weight, weight.data))
            weight.data = _sum(weight.data, changes)
            if bias is not None:
                shifts = [(m, adapter.bias_delta(bias.data)) for adapter, m in on_it]
                found = [m * shift for m, shift in shifts if shift is not None]
                if found:
                    originals.append((bias, bias.data))
                    bias.data = _sum(bias.data, found)
        _demand_all_used(targets, networks)
        yield
    finally:
        for parameter, data in originals:
            parameter.data = data


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
