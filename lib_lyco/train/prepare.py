"""A base model made ready for training, and put back exactly."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from torch import nn

from lib_lyco.models.base import BaseModel
from lib_lyco.naming.layer import Component

_COMPONENTS: tuple[Component, ...] = ("unet", "te1", "te2", "te3")


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
