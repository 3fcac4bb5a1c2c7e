"""The loss of a batch.

`diffusion_loss(model, batch, generators)` is the whole objective; the rest of this file is its
terms, under the names of the papers: x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps (DDPM,
arXiv 2006.11239, equation 4), v = sqrt(abar_t) eps - sqrt(1 - abar_t) x_0 (arXiv 2202.00512),
SNR = abar_t / (1 - abar_t).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_lyco.models.base import BaseModel, Cond, NoiseSchedule, Prediction, SizeCond


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


@dataclass(frozen=True)
class Objective:
    """The choices that the loss depends on."""

    min_snr_gamma: float = 0.0
    """0 is off."""

    def losses(self, model: BaseModel, batch: Batch, generators: Sequence[torch.Generator]) -> Tensor:
        """The weighted loss of each sample, (b,) float32; see `diffusion_loss`."""
        schedule = model.schedule
        alphas_cumprod = schedule.alphas_cumprod.to(batch.latents.device, torch.float32)
        timesteps, noise = draw_noise(batch.latents, len(alphas_cumprod), generators)
        abar = alphas_cumprod[timesteps]
        noisy = add_noise(batch.latents, noise, abar)
        predicted = model.predict(noisy.to(model.dtype), timesteps, batch.cond, batch.size).float()
        target = noise if schedule.prediction == "epsilon" else velocity(batch.latents, noise, abar)
        losses = (predicted - target).square().mean(dim=(1, 2, 3)) * batch.loss_weight
        if self.min_snr_gamma > 0:
            losses = losses * min_snr_weight(abar, self.min_snr_gamma, schedule.prediction)
        return losses


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


def draw_noise(
    latents: Tensor, num_timesteps: int, generators: Sequence[torch.Generator]
) -> tuple[Tensor, Tensor]:
    """Timesteps (b,) uniform in 0 .. T-1, and standard normal noise shaped like the latents."""
    timesteps = [torch.randint(num_timesteps, (), generator=generator) for generator in generators]
    noise = [torch.randn(latents.shape[1:], generator=generator) for generator in generators]
    return torch.stack(timesteps).to(latents.device), torch.stack(noise).to(latents.device)


def _per_sample(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def add_noise(latents: Tensor, noise: Tensor, abar: Tensor) -> Tensor:
    """x_t = sqrt(abar) x_0 + sqrt(1 - abar) eps; abar is (b,), the rest (b, c, h, w)."""
    return _per_sample(abar.sqrt()) * latents + _per_sample((1 - abar).sqrt()) * noise


def velocity(latents: Tensor, noise: Tensor, abar: Tensor) -> Tensor:
    """v = sqrt(abar) eps - sqrt(1 - abar) x_0; shapes as in `add_noise`."""
    return _per_sample(abar.sqrt()) * noise - _per_sample((1 - abar).sqrt()) * latents


def signal_to_noise(schedule: NoiseSchedule) -> Tensor:
    """SNR of every timestep, (T,) float32."""
    abar = schedule.alphas_cumprod.float()
    return abar / (1 - abar)


def min_snr_weight(abar: Tensor, gamma: float, prediction: Prediction) -> Tensor:
    """Min-SNR-gamma (arXiv 2303.09556): min(s, gamma) / s for eps, min(s, gamma) / (s + 1) for v.

    Args:
        abar: (b,).
        gamma: The largest SNR that counts.
        prediction: What the denoiser predicts.

    Returns:
        (b,). At s = 0 the weight for eps is its limit, 1.
    """
    snr = abar / (1 - abar)
    clamped = snr.clamp(max=gamma)
    if prediction == "v":
        return clamped / (snr + 1)
    return torch.where(snr > 0, clamped / snr.clamp(min=torch.finfo(snr.dtype).tiny), torch.ones_like(snr))
