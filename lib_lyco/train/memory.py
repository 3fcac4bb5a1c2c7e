"""A paused run off its device: everything large lies in ordinary memory until it goes on."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lib_lyco.models.base import BaseModel
from lib_lyco.naming.layer import Component
from lib_lyco.train.step import Learning

_COMPONENTS: tuple[Component, ...] = ("unet", "te1", "te2", "te3")
_CPU = torch.device("cpu")


@contextmanager
def set_aside(learning: Learning) -> Generator[None]:
    """Within it, base model, network and optimiser lie on the CPU; then where they were, bit for bit.

    A base model that is lent stays where it is.
    """
    moved: list[tuple[Tensor, torch.device]] = []
    try:
        for tensor in _tensors(learning):
            if tensor.device != _CPU:
                moved.append((tensor, tensor.device))
                tensor.data = tensor.data.to(_CPU)
        _give_back()
        yield
    finally:
        for tensor, device in moved:
            tensor.data = tensor.data.to(device)


def _tensors(learning: Learning) -> Iterator[Tensor]:
    for module in () if learning.presence.lent else _modules(learning.model):
        yield from module.parameters()
        yield from module.buffers()
    for layer in learning.network:
        yield from layer.module.parameters()
        yield from layer.module.buffers()
    # torch's optimisers hand out the very tensors they work with
    yield from _leaves(learning.optimisation.state())


def _modules(model: BaseModel) -> Iterator[nn.Module]:
    for component in _COMPONENTS:
        module = model.component(component)
        if module is not None:
            yield module


def _leaves(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from _leaves(value)
    elif isinstance(tree, Iterable) and not isinstance(tree, str):
        for value in tree:
            yield from _leaves(value)


def _give_back() -> None:
    """Returns what torch keeps ready to the device."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
