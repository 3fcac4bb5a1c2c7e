"""What one update is made of: micro-batches, their loss, their gradients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lib_lyco.models.base import BaseModel, SizeCond
from lib_lyco.models.presence import Presence
from lib_lyco.train.data.latent import Encoded, LatentSource
from lib_lyco.train.data.order import Sample
from lib_lyco.train.data.source import ImageSource
from lib_lyco.train.data.variation import Caption, Variations
from lib_lyco.train.network import TrainableNetwork
from lib_lyco.train.objective import Batch, Kept, Objective
from lib_lyco.train.optim import Optimisation
from lib_lyco.train.plan import Plan
from lib_lyco.train.precision import Precision
from lib_lyco.train.seed import derived_seed
from lib_lyco.train.text import Texts
from lib_lyco.train.transfer import moved


@dataclass(frozen=True)
class Material:
    """Everything that a batch and its loss are made from."""

    model: BaseModel
    plan: Plan
    source: ImageSource
    latents: LatentSource
    variations: Variations
    texts: Texts
    objective: Objective
    precision: Precision


@dataclass(frozen=True)
class Learning(Material):
    """Everything that an update is made from."""

    network: TrainableNetwork
    optimisation: Optimisation
    gradient_checkpointing: bool = False
    presence: Presence = field(default_factory=Presence)
    """What of the run is on the model."""
    pass_size: int = 0
    """Samples in one pass through the model, where a whole micro-batch does not fit; 0 is no limit."""

    @property
    def seed(self) -> int:
        """Decides everything that is drawn."""
        return self.plan.order.seed


def add_gradients(
    learning: Learning, micro_batches: Iterable[tuple[Sequence[Sample], Encoded]], count: int, step: int
) -> float:
    """Adds the gradients of the micro-batches of a step of `count` samples, each counting the same.

    Args:
        learning: What they are made from.
        micro_batches: Samples and their latents.
        count: Samples of the whole step.
        step: Updates done before it.

    Returns:
        Their share of the step's loss. It is read once, at the end: the device is waited for once in a
        step.
    """
    losses: list[Tensor] = []
    for samples, encoded in micro_batches:
        size = learning.pass_size or len(samples)
        for start in range(0, len(samples), size):
            part = slice(start, start + size)
            losses.append(_one_pass(learning, samples[part], encoded.part(part), step) / count)
            learning.optimisation.backward(losses[-1])
            losses[-1] = losses[-1].detach()
    return sum(torch.stack(losses).tolist()) if losses else 0.0


def _one_pass(learning: Learning, samples: Sequence[Sample], encoded: Encoded, step: int) -> Tensor:
    """The sum of the samples' losses."""
    if learning.network.drops:
        learning.network.begin_batch([_dropout_seed(learning, sample) for sample in samples])
    with learning.precision.context():
        batch = make_batch(learning, samples, encoded, step)
        generators = [sample.generator(learning.seed, "noise") for sample in samples]
        return learning.objective.losses(learning.model, batch, generators).sum()


def _dropout_seed(learning: Learning, sample: Sample) -> int:
    return derived_seed("dropout", learning.seed, sample.epoch, sample.image, sample.repeat)


def make_batch(material: Material, samples: Sequence[Sample], encoded: Encoded, step: int) -> Batch:
    """What the objective sees of samples, `step` updates after the start."""
    device = material.model.device
    captions = [material.variations.caption(sample, step) for sample in samples]
    subsets = [material.plan.records[sample.image].subset for sample in samples]
    return Batch(
        latents=moved(encoded.latents, device),
        cond=material.texts.conds(captions),
        size=_size_cond(material, samples) if material.model.family == "sdxl" else None,
        loss_weight=moved(torch.tensor([subset.loss_weight for subset in subsets]), device),
        mask=None if encoded.mask is None else moved(encoded.mask, device),
        kept=_kept(
            material,
            [subset.prior_prediction for subset in subsets],
            captions,
            encoded.mask is not None and material.objective.outside_mask > 0,
        ),
    )


def _kept(
    material: Material, flags: Sequence[bool], captions: Sequence[Caption], masked: bool
) -> Kept | None:
    """The samples of subsets with prior prediction; `masked`: places outside of masks are kept, too."""
    if not any(flags) and not masked:
        return None
    with material.objective.without_network(), torch.no_grad():
        cond = material.texts.conds(captions)
    return Kept(moved(torch.tensor(flags), material.model.device), cond)


def _size_cond(material: Material, samples: Sequence[Sample]) -> SizeCond:
    facts = [material.source.size_facts(sample) for sample in samples]
    sizes = (
        [fact.original for fact in facts],
        [fact.crop for fact in facts],
        [fact.target for fact in facts],
    )
    return SizeCond(*(moved(torch.tensor(rows), material.model.device) for rows in sizes))
