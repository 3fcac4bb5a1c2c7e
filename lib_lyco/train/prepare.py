"""A base model made ready for training, and put back exactly."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lib_lyco.models.base import BaseModel
from lib_lyco.naming.layer import Component

_COMPONENTS: tuple[Component, ...] = ("unet", "te1", "te2", "te3")
_LARGEST_FP8 = 448.0
"""Of float8_e4m3fn; torch makes NaN of what is larger."""


@contextmanager
def prepared(model: BaseModel, gradient_checkpointing: bool) -> Generator[None]:
    """Freezes the base weights; modes and `requires_grad` are put back at the end, also after an error.

    Components stay in eval mode, in which they will be used, except that gradient checkpointing
    only acts in train mode; Stable Diffusion's components have no dropout, so results stay the same.
    """
    modules = [module for name in _COMPONENTS if (module := model.component(name)) is not None]
    learning = [
        parameter for module in modules for parameter in module.parameters() if parameter.requires_grad
    ]
    modes: list[tuple[nn.Module, bool]] = [
        (part, part.training) for module in modules for part in module.modules()
    ]
    try:
        for module in modules:
            module.requires_grad_(False)
            module.train(gradient_checkpointing)
        model.set_gradient_checkpointing(gradient_checkpointing)
        yield
    finally:
        model.set_gradient_checkpointing(False)
        for part, training in modes:
            part.training = training
        for parameter in learning:
            parameter.requires_grad_(True)


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
