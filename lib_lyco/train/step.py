"""What one update is made of: micro-batches, their loss, their gradients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_lyco.models.base import BaseModel, SizeCond
from lib_lyco.train.data.latent import LatentSource
from lib_lyco.train.data.order import Sample
from lib_lyco.train.data.source import ImageSource
from lib_lyco.train.network import TrainableNetwork
from lib_lyco.train.objective import Batch, Objective
from lib_lyco.train.optim import Optimisation
from lib_lyco.train.plan import Plan
from lib_lyco.train.precision import Precision
from lib_lyco.train.text import Texts


@dataclass(frozen=True)
class Learning:
    """Everything that an update is made from."""

    model: BaseModel
    network: TrainableNetwork
    plan: Plan
    source: ImageSource
    latents: LatentSource
    texts: Texts
    objective: Objective
    optimisation: Optimisation
    precision: Precision
    gradient_checkpointing: bool = False
    pass_size: int = 0
    """Samples in one pass through the model, where a whole micro-batch does not fit; 0 is no limit."""

    @property
    def seed(self) -> int:
        """Decides everything that is drawn."""
        return self.plan.order.seed


def add_gradients(
    learning: Learning, micro_batches: Iterable[tuple[Sequence[Sample], Tensor]], count: int
) -> float:
    """Adds the gradients of the micro-batches of a step of `count` samples, each counting the same.

    Returns:
        Their share of the step's loss. It is read once, at the end: the device is waited for once in a
        step.
    """
    losses: list[Tensor] = []
    for samples, latents in micro_batches:
        size = learning.pass_size or len(samples)
        for start in range(0, len(samples), size):
            part = slice(start, start + size)
            losses.append(_one_pass(learning, samples[part], latents[part]) / count)
            learning.optimisation.backward(losses[-1])
            losses[-1] = losses[-1].detach()
    return sum(torch.stack(losses).tolist()) if losses else 0.0


def _one_pass(learning: Learning, samples: Sequence[Sample], latents: Tensor) -> Tensor:
    """The sum of the samples' losses."""
    with learning.precision.context():
        batch = _batch(learning, samples, latents)
        generators = [sample.generator(learning.seed, "noise") for sample in samples]
        return learning.objective.losses(learning.model, batch, generators).sum()


def _batch(learning: Learning, samples: Sequence[Sample], latents: Tensor) -> Batch:
    device = learning.model.device
    captions = [learning.plan.records[sample.image].caption for sample in samples]
    return Batch(
        latents=latents.to(device),
        cond=learning.texts.conds(captions),
        size=_size_cond(learning, samples) if learning.model.family == "sdxl" else None,
        loss_weight=torch.ones(len(samples), device=device),
    )


def _size_cond(learning: Learning, samples: Sequence[Sample]) -> SizeCond:
    """SDXL's sizes: of the file, the true corner of the crop (mirrored with it), and the bucket."""
    original: list[tuple[int, int]] = []
    crop: list[tuple[int, int]] = []
    target: list[tuple[int, int]] = []
    for sample in samples:
        placement, view = learning.plan.placements[sample.image], learning.source.view(sample)
        width, height = learning.plan.records[sample.image].size
        left, top = view.corner
        original.append((height, width))
        crop.append((top, placement.margin[0] - left if view.flipped else left))
        target.append((placement.bucket[1], placement.bucket[0]))
    rows = (torch.tensor(sizes, device=learning.model.device) for sizes in (original, crop, target))
    return SizeCond(*rows)
