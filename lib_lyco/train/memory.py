"""What is off the device while nobody needs it: text encoders beside their kept conds, a paused run."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lib_lyco.models.base import BaseModel
from lib_lyco.naming.layer import Component
from lib_lyco.train.events import Encodable
from lib_lyco.train.step import Learning

_TEXTS: tuple[Component, ...] = ("te1", "te2", "te3")
_COMPONENTS: tuple[Component, ...] = ("unet", *_TEXTS)
_CPU = torch.device("cpu")


class Aside:
    """Tensors in ordinary memory, then where they were, bit for bit."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.tensors = list(tensors)
        self._moved: list[tuple[Tensor, torch.device]] = []

    def put_on(self) -> None:
        """Moves them to the CPU, and gives their memory back."""
        for tensor in self.tensors:
            if tensor.device != _CPU:
                self._moved.append((tensor, tensor.device))
                tensor.data = tensor.data.to(_CPU)
        _give_back()

    def take_off(self) -> None:
        """Moves them back."""
        for tensor, device in self._moved:
            tensor.data = tensor.data.to(device)
        self._moved.clear()


def set_beside(model: BaseModel, what: Encodable) -> Aside:
    """What of a model is not needed to encode images or captions."""
    return Aside(_held(_modules(model, _COMPONENTS if what == "images" else ("unet",))))


def texts_aside(model: BaseModel) -> Aside:
    """The text encoders of a model."""
    return Aside(_held(_modules(model, _TEXTS)))


@contextmanager
def set_aside(learning: Learning) -> Generator[None]:
    """Within it, base model, network and optimiser lie on the CPU; then where they were, bit for bit.

    A base model that is lent stays where it is.
    """
    aside = Aside(_tensors(learning))
    try:
        aside.put_on()
        yield
    finally:
        aside.take_off()


def _tensors(learning: Learning) -> Iterator[Tensor]:
    if not learning.presence.lent:
        yield from _held(_modules(learning.model, _COMPONENTS))
    yield from _held(layer.module for layer in learning.network)
    # torch's optimisers hand out the very tensors they work with
    yield from _leaves(learning.optimisation.state())


def _held(modules: Iterable[nn.Module]) -> Iterator[Tensor]:
    for module in modules:
        yield from module.parameters()
        yield from module.buffers()


def _modules(model: BaseModel, components: Iterable[Component]) -> Iterator[nn.Module]:
    for component in components:
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
