"""A base model made ready for training, and put back exactly."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lib_lyco.models.base import BaseModel
from lib_lyco.models.presence import Presence
from lib_lyco.naming.layer import Component

_COMPONENTS: tuple[Component, ...] = ("unet", "te1", "te2", "te3")
_LARGEST_FP8 = 448.0
"""Of float8_e4m3fn; torch makes NaN of what is larger."""


@contextmanager
def prepared(
    model: BaseModel, gradient_checkpointing: bool, presence: Presence | None = None
) -> Generator[None]:
    """Freezes the base weights; modes and `requires_grad` are put back at the end, also after an error.

    Components stay in eval mode, in which they will be used, except that gradient checkpointing
    only acts in train mode; Stable Diffusion's components have no dropout, so results stay the same.

    Args:
        model: The base model.
        gradient_checkpointing: Whether to trade time for memory.
        presence: Of the run on the model, if others use it as well.
    """
    with (presence or Presence()).holding(_Training(model, gradient_checkpointing)):
        yield


class _Training:
    """The state of a base model while it is trained on; quickly put on and taken off."""

    def __init__(self, model: BaseModel, gradient_checkpointing: bool) -> None:
        self._model = model
        self._gradient_checkpointing = gradient_checkpointing
        modules = _modules(model)
        self._learning = [
            parameter for module in modules for parameter in module.parameters() if parameter.requires_grad
        ]
        self._modes = [(part, part.training) for module in modules for part in module.modules()]

    def put_on(self) -> None:
        for parameter in self._learning:
            parameter.requires_grad_(False)
        for part, training in self._modes:
            if training is not self._gradient_checkpointing:
                part.training = self._gradient_checkpointing
        self._model.set_gradient_checkpointing(self._gradient_checkpointing)

    def take_off(self) -> None:
        self._model.set_gradient_checkpointing(False)
        for part, training in self._modes:
            if part.training is not training:
                part.training = training
        for parameter in self._learning:
            parameter.requires_grad_(True)


@contextmanager
def alone(model: BaseModel, presence: Presence) -> Generator[None]:
    """Within it the base model is as pictures are drawn with it: nothing of training's on it, eval mode."""
    with presence.base_alone(), presence.holding(_Drawing(model), of_base=True):
        yield


class _Drawing:
    """Eval mode, where a model comes in train mode."""

    def __init__(self, model: BaseModel) -> None:
        self._parts = [part for module in _modules(model) for part in module.modules() if part.training]

    def put_on(self) -> None:
        for part in self._parts:
            part.training = False

    def take_off(self) -> None:
        for part in self._parts:
            part.training = True


def _modules(model: BaseModel) -> list[nn.Module]:
    return [module for name in _COMPONENTS if (module := model.component(name)) is not None]


@contextmanager
def compact(model: BaseModel, enabled: bool) -> Generator[None]:
    """Within it the weights of Linear and convolution layers are float8_e4m3fn; autocast makes of each
    what it computes in. Norms, biases, embeddings and each component's first layer, by whose dtype
    libraries go, stay as they are. The weights are kept on the CPU meanwhile, and put back exactly.
    """
    kept: list[tuple[Tensor, Tensor]] = []
    try:
        for name in _COMPONENTS if enabled else ():
            module = model.component(name)
            for weight in [] if module is None else _large_weights(module):
                kept.append((weight, weight.data.cpu()))
                weight.data = weight.data.clamp(-_LARGEST_FP8, _LARGEST_FP8).to(torch.float8_e4m3fn)
        yield
    finally:
        for weight, original in kept:
            weight.data = original.to(weight.device)


def _large_weights(module: nn.Module) -> list[Tensor]:
    first = next(module.parameters(), None)
    return [
        part.weight
        for part in module.modules()
        if isinstance(part, nn.Linear | nn.Conv2d) and part.weight is not first
    ]
