"""What one update is made of: micro-batches, their loss, their gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

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

    @property
    def seed(self) -> int:
        """Decides everything that is drawn."""
        return self.plan.order.seed


def add_gradients(
    learning: Learning, samples: Sequence[Sample], latents: torch.Tensor, count: int
) -> float:
    """Adds the gradients of one micro-batch of a step of `count` samples; returns its share of the loss."""
    with learning.precision.context():
        batch = _batch(learning, samples, latents)
        generators = [sample.generator(learning.seed, "noise") for sample in samples]
        loss = learning.objective.losses(learning.model, batch, generators).sum() / count
    value = float(loss.detach())
    if math.isfinite(value):
        learning.optimisation.backward(loss)
    return value


def _batch(learning: Learning, samples: Sequence[Sample], latents: torch.Tensor) -> Batch:
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
