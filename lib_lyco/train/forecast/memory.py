"""Memory of a step: weights, trained weights, optimiser, activations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from lib_lyco.models.base import BaseModel, SizeCond, TextStyle
from lib_lyco.naming.layer import Component
from lib_lyco.train.forecast.activations import Kept, Rules
from lib_lyco.train.network import TrainableNetwork
from lib_lyco.train.plan import Plan

_COMPONENTS: tuple[Component, ...] = ("unet", "te1", "te2", "te3")
_LATENT_FACTOR = 8
STATES: Mapping[str, float] = {
    # values that an optimiser keeps for each trained one, in units of a trained one in float32
    "AdamW": 2,
    "AdamW8bit": 0.5,
    "PagedAdamW": 2,
    "PagedAdamW8bit": 0.5,
    "PagedAdamW32bit": 2,
    "Lion": 1,
    "Lion8bit": 0.25,
    "PagedLion8bit": 0.25,
    "SGD": 1,
    "SGD8bit": 0.25,
    "Adam": 2,
    "RAdam": 2,
    "NAdam": 2,
    "Adamax": 2,
    "Adagrad": 1,
    "RMSprop": 1,
    "Prodigy": 4,
    "AdamWScheduleFree": 2,
    "RAdamScheduleFree": 2,
    "SGDScheduleFree": 1,
}


@dataclass(frozen=True)
class LargestBatch:
    """The batch that needs most memory."""

    width: int
    """In pixels."""
    height: int
    size: int
    captions: Sequence[str]
    """As many as the batch has samples, the longest ones."""

    def __str__(self) -> str:
        return f"{self.size} of {self.width}x{self.height}"


def largest_batch(plan: Plan, processes: int = 1) -> LargestBatch:
    """The batch of most pixels, with the longest captions that it might have; of several processes, what
    the first has of it."""
    full = {
        (number, bucket): -(-min(count, plan.order.pools[number].batch_size) // processes)
        for (number, bucket), count in plan.order.samples(0).items()
    }
    (_, (width, height)), size = max(full.items(), key=lambda item: item[0][1][0] * item[0][1][1] * item[1])
    captions = sorted((record.caption for record in plan.records), key=len, reverse=True)[:size]
    return LargestBatch(width, height, size, (*captions, *("",) * (size - len(captions))))


def base_bytes(model: BaseModel, others: Iterable[nn.Module], fp8: bool) -> int:
    """The base model's weights; with `fp8` those of products take a byte each."""
    total = sum(_bytes(module) for module in others)
    for module in components(model):
        total += _bytes(module)
        for part in module.modules() if fp8 else ():
            if isinstance(part, nn.Linear | nn.Conv2d):
                total -= part.weight.numel() * (part.weight.element_size() - 1)
    return total


def state_bytes(optimiser: object, num_parameters: int, element_size: int) -> int | None:
    """What an optimiser keeps from step to step; None if it is not in `STATES`."""
    count = STATES.get(type(optimiser).__name__)
    return None if count is None else round(count * num_parameters * element_size)


@dataclass(frozen=True)
class Reading:
    """How captions are read, and whether gradients go through that."""

    clip_skip: int
    style: TextStyle
    learning: bool


def activation_bytes(
    model: BaseModel, network: TrainableNetwork, batch: LargestBatch, reading: Reading, checkpointing: bool
) -> int:
    """What one forward pass keeps, on a model and a network without weights (see `hollow_model`)."""
    modules = components(model)
    for module in modules:
        module.requires_grad_(False)
    kept = Kept(modules, checkpointing)
    b, h, w = batch.size, batch.height // _LATENT_FACTOR, batch.width // _LATENT_FACTOR
    noisy = torch.empty(b, 4, h, w, device=model.device)
    size = None
    if model.family == "sdxl":
        pairs = torch.empty(b, 2, device=model.device)
        size = SizeCond(pairs, pairs, pairs)
    with network, Rules(model.dtype), kept.counting():
        with torch.set_grad_enabled(reading.learning):
            cond = model.encode_prompts(batch.captions, reading.clip_skip, reading.style)
        steps = torch.zeros(b, dtype=torch.long, device=model.device)
        prediction = model.predict(noisy, steps, cond, size)
        functional.mse_loss(prediction.float(), noisy)
    return kept.bytes


def components(model: BaseModel) -> list[nn.Module]:
    """The denoiser and the text encoders."""
    return [module for name in _COMPONENTS if (module := model.component(name)) is not None]


def _bytes(module: nn.Module) -> int:
    return sum(one.numel() * one.element_size() for one in module.parameters())
