"""The noise and the timesteps that samples are trained with.

Everything of a sample is drawn from its own generator, on the CPU, in one fixed order: timestep,
noise, offset, pyramid, disturbance. So it is the same in any batch and on any device, and switching
one kind on leaves the others as they were. sd-scripts draws strengths and pyramid sizes, and takes
the pyramid's standard deviation, once per batch; here both are per sample, with the same distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from lib_lyco.train.transfer import moved

SAMPLINGS = ("uniform", "logit_normal", "mode")


@dataclass(frozen=True)
class TimestepSettings:
    """From which timesteps samples are drawn, and how often each."""

    first: int = 0
    end: int | None = None
    """One past the last; None is the model's number of timesteps."""
    sampling: str = "uniform"
    """Of `SAMPLINGS`."""
    mean: float = 0.0
    """Of the normal distribution below logit_normal; more than 0 prefers high noise."""
    scale: float = 1.0
    """logit_normal: the normal distribution's standard deviation; mode: its s."""

    def draw(self, num_timesteps: int, generator: torch.Generator) -> Tensor:
        """One timestep, an int64 scalar in [first, end).

        The shares u in [0, 1) of the range are those of Esser et al. 2024 (arXiv 2403.03206, section
        3.1): sigmoid(mean + scale · n), or 1 - u - s (cos²(pi u / 2) - 1 + u) of a uniform u.
        """
        end = num_timesteps if self.end is None else min(self.end, num_timesteps)
        if self.sampling == "uniform":
            return torch.randint(self.first, end, (), generator=generator)
        if self.sampling == "logit_normal":
            share = torch.sigmoid(self.mean + self.scale * torch.randn((), generator=generator))
        else:
            u = torch.rand((), generator=generator)
            share = 1 - u - self.scale * (torch.cos(math.pi * u / 2) ** 2 - 1 + u)
        index = self.first + (share * (end - self.first)).long()
        return index.clamp(self.first, end - 1)


@dataclass(frozen=True)
class NoiseSettings:
    """Which noise is added to the latents; 0 switches a kind off."""

    offset: float = 0.0
    """Strength of a shift common to a channel."""
    offset_random: bool = False
    """Whether each sample's strength is uniform in [0, offset)."""
    adaptive_scale: float = 0.0
    """Adds this times a channel's absolute mean to the strength; never below 0."""
    offset_by_timestep: Tensor | None = field(default=None, compare=False)
    """(timesteps,): what the strength is multiplied by; see `balanced_offsets`."""
    multires_iterations: int = 0
    """How many coarser layers of noise are added."""
    multires_discount: float = 0.3
    """By how much each layer is weaker than the one before."""
    ip_gamma: float = 0.0
    """Strength of noise that the denoiser sees but is not asked for."""
    ip_random: bool = False
    """Whether each sample's strength is uniform in [0, ip_gamma)."""


@dataclass(frozen=True)
class Draw:
    """What was drawn for a batch."""

    timesteps: Tensor
    """(b,) int64, on the CPU."""
    noise: Tensor
    """(b, c, h, w): eps, which the denoiser is asked for."""
    added: Tensor
    """(b, c, h, w): what is added to the latents: eps, or eps and a disturbance."""


def draw(
    latents: Tensor,
    num_timesteps: int,
    generators: Sequence[torch.Generator],
    noise: NoiseSettings | None = None,
    timesteps: TimestepSettings | None = None,
) -> Draw:
    """Draws for each sample from its own generator.

    The formulas are those of sd-scripts (`train_util.get_noise_noisy_latents_and_timesteps`), from:
    offset noise, Guttenberg 2023 (crosslabs.org); multi-resolution noise, Whitaker 2023 (wandb.ai);
    input perturbation, Ning et al. 2023 (arXiv 2301.11706).
    """
    settings = noise or NoiseSettings()
    when = timesteps or TimestepSettings()
    device, shape = latents.device, latents.shape[1:]
    chosen = torch.stack([when.draw(num_timesteps, generator) for generator in generators])
    eps = moved(torch.stack([torch.randn(shape, generator=one) for one in generators]), device)
    if settings.offset > 0:
        eps = eps + _offset(latents, settings, generators, chosen)
    if settings.multires_iterations > 0:
        pyramids = torch.stack([_pyramid(shape, settings, one) for one in generators])
        eps = eps + moved(pyramids, device)
        eps = eps / eps.std(dim=(1, 2, 3), keepdim=True)
    added = eps
    if settings.ip_gamma > 0:
        strengths = _strengths(settings.ip_gamma, settings.ip_random, generators)
        disturbances = torch.stack([torch.randn(shape, generator=one) for one in generators])
        added = eps + moved(strengths * disturbances, device)
    return Draw(chosen, eps, added)


def _strengths(strength: float, random: bool, generators: Sequence[torch.Generator]) -> Tensor:
    """(b, 1, 1, 1)."""
    if not random:
        return torch.full((len(generators), 1, 1, 1), strength)
    return strength * torch.stack([torch.rand((1, 1, 1), generator=one) for one in generators])


def balanced_offsets(abar: Tensor) -> Tensor:
    """By how much offset noise counts at each timestep, up to 1 at the last, (timesteps,) float64.

    The balanced strategy of Kutsuna 2024 (arXiv 2412.03134, equations 22 and 34, Algorithm 1; in OneTrainer
    `generalized_offset_noise`). Its sum over gamma has the factors (1 - abar_t) / (a_t (1 - abar_(t-1))),
    whose product is (1 - abar_t) / abar_t up to a constant, so that
    psi_t = sqrt((1 - abar_t) / (1 - abar_T)) · abar_T / abar_t.

    Args:
        abar: (timesteps,), more than 0.
    """
    abar = abar.double()
    return ((1 - abar) / (1 - abar[-1])).sqrt() * abar[-1] / abar


def _offset(
    latents: Tensor, settings: NoiseSettings, generators: Sequence[torch.Generator], timesteps: Tensor
) -> Tensor:
    """(b, c, 1, 1): o · N, with o raised by the latents' channel means where that is asked for."""
    strength = moved(_strengths(settings.offset, settings.offset_random, generators), latents.device)
    if settings.adaptive_scale != 0:
        means = latents.mean(dim=(2, 3), keepdim=True).abs()
        strength = (strength + settings.adaptive_scale * means).clamp(min=0)
    if settings.offset_by_timestep is not None:
        weights = settings.offset_by_timestep[timesteps].float().view(-1, 1, 1, 1)
        strength = strength * moved(weights, latents.device)
    shape = (latents.shape[1], 1, 1)
    normals = torch.stack([torch.randn(shape, generator=one) for one in generators])
    return strength * moved(normals, latents.device)


def _pyramid(shape: torch.Size, settings: NoiseSettings, generator: torch.Generator) -> Tensor:
    """(c, h, w): noise of sides h / r^i, w / r^i with r uniform in [2, 4), enlarged, times d^i.

    The first layer, i = 0, has the full size again. The last one has a side of 1.
    """
    channels, height, width = shape
    total = torch.zeros(shape)
    for layer in range(settings.multires_iterations):
        ratio = (2 + 2 * float(torch.rand((), generator=generator))) ** layer
        sides = max(1, int(height / ratio)), max(1, int(width / ratio))
        coarse = torch.randn((1, channels, *sides), generator=generator)
        enlarged = functional.interpolate(coarse, size=(height, width), mode="bilinear")
        total += enlarged[0] * settings.multires_discount**layer
        if 1 in sides:
            break
    return total
