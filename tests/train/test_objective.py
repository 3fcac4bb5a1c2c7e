"""The loss against diffusers' schedulers and hand-computed weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from lib_lyco.models.base import Cond, NoiseSchedule, Prediction, SizeCond
from lib_lyco.train.objective import (
    Batch,
    Objective,
    add_noise,
    diffusion_loss,
    draw_noise,
    min_snr_weight,
    signal_to_noise,
    velocity,
)
from lib_lyco.train.seed import derived_generator
from tests.train.tiny import TinyModel


def sd_scheduler() -> Any:
    return DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


def generators(count: int) -> list[torch.Generator]:
    return [derived_generator("test", index) for index in range(count)]


def test_noisy_latents_and_velocity_are_diffusers() -> None:
    scheduler = sd_scheduler()
    chance = torch.Generator().manual_seed(0)
    latents, noise = (torch.randn(5, 4, 3, 2, generator=chance) for _ in range(2))
    timesteps = torch.tensor([0, 1, 250, 500, 999])
    abar = scheduler.alphas_cumprod[timesteps]
    torch.testing.assert_close(
        add_noise(latents, noise, abar), scheduler.add_noise(latents, noise, timesteps)
    )
    torch.testing.assert_close(
        velocity(latents, noise, abar), scheduler.get_velocity(latents, noise, timesteps)
    )


@pytest.mark.parametrize(
    ("snr", "prediction", "weight"),
    [
        # min(s, 5) / s and min(s, 5) / (s + 1), by hand
        (10.0, "epsilon", 0.5),
        (2.0, "epsilon", 1.0),
        (20.0, "epsilon", 0.25),
        (4.0, "v", 0.8),
        (24.0, "v", 0.2),
        (0.0, "v", 0.0),
        (0.0, "epsilon", 1.0),
    ],
)
def test_min_snr_weight_is_the_papers(snr: float, prediction: Prediction, weight: float) -> None:
    abar = torch.tensor([snr / (1 + snr)], dtype=torch.float64)
    torch.testing.assert_close(
        min_snr_weight(abar, 5.0, prediction), torch.tensor([weight], dtype=torch.float64)
    )


def test_signal_to_noise_is_alpha_over_sigma_squared() -> None:
    scheduler = sd_scheduler()
    expected = scheduler.alphas_cumprod / (1 - scheduler.alphas_cumprod)
    snr = signal_to_noise(NoiseSchedule(scheduler.alphas_cumprod, "epsilon"))
    torch.testing.assert_close(snr, expected)


class Predicts(TinyModel):
    """A model whose answer is known."""

    def __init__(self, prediction: Prediction, answer: Tensor) -> None:
        super().__init__(prediction)
        self.answer = answer

    def predict(self, noisy: Tensor, timesteps: Tensor, cond: Cond, size: SizeCond | None = None) -> Tensor:
        return self.answer.expand_as(noisy)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_loss_is_the_mean_squared_error_to_the_target(prediction: Prediction) -> None:
    latents = torch.full((2, 4, 8, 8), 0.5)
    timesteps, noise = draw_noise(latents, 1000, generators(2))
    abar = sd_scheduler().alphas_cumprod[timesteps]
    target = noise if prediction == "epsilon" else velocity(latents, noise, abar)
    model = Predicts(prediction, torch.tensor(0.25))
    batch = Batch(latents, Cond(torch.zeros(2, 1, 1)), None, torch.tensor([1.0, 0.5]))
    errors = (0.25 - target).square().mean(dim=(1, 2, 3))
    expected = (errors * torch.tensor([1.0, 0.5])).mean()
    torch.testing.assert_close(diffusion_loss(Objective(), model, batch, generators(2)), expected)
    weighted = (errors * torch.tensor([1.0, 0.5]) * min_snr_weight(abar, 5.0, prediction)).mean()
    torch.testing.assert_close(diffusion_loss(Objective(5.0), model, batch, generators(2)), weighted)


def test_noise_of_a_sample_is_the_same_in_any_batch() -> None:
    latents = torch.zeros(3, 4, 2, 2)
    timesteps, noise = draw_noise(latents, 1000, generators(3))
    alone_timestep, alone = draw_noise(latents[2:], 1000, generators(3)[2:])
    assert torch.equal(noise[2:], alone)
    assert torch.equal(timesteps[2:], alone_timestep)


def test_timesteps_are_uniform_and_noise_is_normal() -> None:
    timesteps, noise = draw_noise(torch.zeros(4000, 1, 2, 2), 1000, generators(4000))
    # 4000 draws: a decile's count has standard deviation 19, the mean of 16000 normals 0.008
    counts = torch.histc(timesteps.float(), bins=10, min=0, max=1000)
    assert (counts - 400).abs().max() < 95
    assert noise.mean().abs() < 0.04
    assert (noise.std() - 1).abs() < 0.03
