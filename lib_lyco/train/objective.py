"""The loss of a batch.

`diffusion_loss(objective, model, batch, generators)` is the whole objective, under the names of the
papers: x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps (DDPM, arXiv 2006.11239, equation 4),
v = sqrt(abar_t) eps - sqrt(1 - abar_t) x_0 (arXiv 2202.00512). The order of its terms is that of
sd-scripts (`train_network.py`, process_batch): cost of each element, mask, mean over the sample, the
sample's weight, the timestep's weight; all in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from lib_lyco.models.base import BaseModel, Cond, NoiseSchedule, SizeCond
from lib_lyco.train.loss import LossSettings, WeightSettings
from lib_lyco.train.noise import NoiseSettings, TimestepSettings, draw
from lib_lyco.train.transfer import moved


@dataclass(frozen=True)
class Kept:
    """Samples whose target is what the base model itself predicts, and where to ask it."""

    samples: Tensor
    """(b,) bool: which of the batch; none where only places outside of masks are."""
    cond: Cond
    """Of all captions of the batch, encoded without the network."""


@dataclass(frozen=True)
class Batch:
    """What the objective sees; everything on the model's device."""

    latents: Tensor
    """(b, 4, h, w) float32, scaled."""
    cond: Cond
    size: SizeCond | None
    """For SDXL."""
    loss_weight: Tensor
    """(b,) float32."""
    mask: Tensor | None = None
    """(b, 1, h, w) float32 in [0, 1]: how much each place counts; None if all count whole."""
    kept: Kept | None = None


@dataclass(frozen=True)
class Preservation:
    """Keeping what the base model makes of one caption while others are trained: prior prediction.

    With every batch the denoiser is also asked about the batch's noisy latents under `caption`; the
    base model's own answer is the target.
    """

    caption: str
    weight: float
    """Of the additional loss."""
    encode: Callable[[Sequence[str]], Cond]
    """Captions -> conds, with the network as it is at that time."""


@dataclass(frozen=True)
class Objective:
    """The choices that the loss depends on."""

    loss: LossSettings = field(default_factory=LossSettings)
    weights: WeightSettings = field(default_factory=WeightSettings)
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    timesteps: TimestepSettings = field(default_factory=TimestepSettings)
    schedule: NoiseSchedule | None = None
    """The forward process trained on; None is the model's."""
    weighting: NoiseSchedule | None = None
    """Whose SNR the timesteps' weights are computed from; None is `schedule`'s."""
    preservation: Preservation | None = None
    outside_mask: float = 0.0
    """Where a mask does not count: how much the distance from the base model's own answer does."""
    without_network: Callable[[], AbstractContextManager[object]] = nullcontext
    """Within it the base model is what it was before training."""
    at_timesteps: Callable[[Tensor, int], None] | None = None
    """Hears of the timesteps, (b,) on the CPU, and their number, before the model is asked."""

    def losses(self, model: BaseModel, batch: Batch, generators: Sequence[torch.Generator]) -> Tensor:
        """The weighted loss of each sample, (b,) float32; see `diffusion_loss`."""
        schedule = self.schedule or model.schedule
        table, device = _table(schedule), batch.latents.device
        drawn = draw(batch.latents, len(table), generators, self.noise, self.timesteps)
        if self.at_timesteps:
            self.at_timesteps(drawn.timesteps, len(table))
        # what is one number per sample is computed on the CPU, where the timesteps were drawn
        abar = table[drawn.timesteps]
        threshold = None
        if self.loss.has_threshold:
            threshold = moved(self.loss.thresholds(drawn.timesteps, abar, len(table)), device)
        abar_here = moved(abar, device)
        noisy = add_noise(batch.latents, drawn.added, abar_here).to(model.dtype)
        asked = _Question(model, noisy, moved(drawn.timesteps, device), batch.size)
        target = drawn.noise
        if schedule.prediction == "v":
            target = velocity(batch.latents, drawn.noise, abar_here)
        own = None if batch.kept is None else self._base_answer(asked, batch.kept.cond)
        if batch.kept is not None and own is not None:
            target = torch.where(_per_sample(batch.kept.samples), own, target)
        answer = asked.answer(batch.cond)
        cost = self.loss.elementwise(answer, target, threshold)
        if batch.mask is not None:
            mask = functional.interpolate(batch.mask, size=cost.shape[2:], mode="area")
            cost = cost * mask
            if self.outside_mask > 0 and own is not None:
                # OneTrainer (masked_loss.py, masked_losses_with_prior)
                away = self.loss.elementwise(answer, own, threshold)
                cost = cost + away * (1 - mask) * self.outside_mask
        losses = cost.mean(dim=(1, 2, 3)) * batch.loss_weight
        weights = self.weights.weights(
            abar if self.weighting is None else _table(self.weighting)[drawn.timesteps],
            schedule.prediction,
        )
        if weights is not None:
            losses = losses * moved(weights, device)
        if self.preservation is not None:
            losses = losses + self._preservation_losses(self.preservation, asked, threshold)
        return losses

    def _base_answer(self, asked: _Question, cond: Cond) -> Tensor:
        with self.without_network(), torch.no_grad():
            return asked.answer(cond)

    def _preservation_losses(
        self, preservation: Preservation, asked: _Question, threshold: Tensor | None
    ) -> Tensor:
        captions = [preservation.caption] * len(asked.noisy)
        with self.without_network(), torch.no_grad():
            target = asked.answer(preservation.encode(captions))
        answer = asked.answer(preservation.encode(captions))
        cost = self.loss.elementwise(answer, target, threshold)
        return cost.mean(dim=(1, 2, 3)) * preservation.weight


@dataclass(frozen=True)
class _Question:
    """What the denoiser is asked, but for the text."""

    model: BaseModel
    noisy: Tensor
    timesteps: Tensor
    size: SizeCond | None

    def answer(self, cond: Cond) -> Tensor:
        """The prediction, (b, c, h, w) float32."""
        return self.model.predict(self.noisy, self.timesteps, cond, self.size).float()


def _table(schedule: NoiseSchedule) -> Tensor:
    return schedule.alphas_cumprod.to("cpu", torch.float32)


def diffusion_loss(
    objective: Objective, model: BaseModel, batch: Batch, generators: Sequence[torch.Generator]
) -> Tensor:
    """The mean loss of a batch, a float32 scalar.

    Args:
        objective: The choices.
        model: Predicts eps or v, as its schedule says.
        batch: b samples.
        generators: b CPU generators: a sample's timestep and noise depend on its own only, so that
            they are the same in any batch and on any device.
    """
    return objective.losses(model, batch, generators).mean()


def _per_sample(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def add_noise(latents: Tensor, noise: Tensor, abar: Tensor) -> Tensor:
    """x_t = sqrt(abar) x_0 + sqrt(1 - abar) eps; abar is (b,), the rest (b, c, h, w)."""
    return _per_sample(abar.sqrt()) * latents + _per_sample((1 - abar).sqrt()) * noise


def velocity(latents: Tensor, noise: Tensor, abar: Tensor) -> Tensor:
    """v = sqrt(abar) eps - sqrt(1 - abar) x_0; shapes as in `add_noise`."""
    return _per_sample(abar.sqrt()) * noise - _per_sample((1 - abar).sqrt()) * latents
