"""Samplers against a data distribution for which the best denoiser and the way of every sample are known.

For data of independent normal values (mean m, standard deviation s) the noisy value at abar is
normal with variance v = abar s^2 + 1 - abar, the best epsilon is sqrt(1 - abar) (x - sqrt(abar) m) / v,
and the probability flow keeps (x - sqrt(abar) m) / sqrt(v) constant (Song et al. 2021, section 4.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lib_lyco.errors import ModelError
from lib_lyco.models.base import NoiseSchedule, Prediction
from lib_lyco.models.sampling import SAMPLERS, sample
from lib_lyco.models.schedule import scaled_linear_alphas, with_zero_terminal_snr

# numpy 2 about torch tensors inside diffusers' schedulers
pytestmark = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")

MEAN, DEVIATION = 0.7, 0.4
NOISY = ("Euler a", "DPM2 a", "DPM++ 2M SDE", "DPM++ 2M SDE Karras")


def best_denoiser(schedule: NoiseSchedule) -> Callable[[Tensor, Tensor], Tensor]:
    def predict(noisy: Tensor, timestep: Tensor) -> Tensor:
        # some samplers ask between two timesteps; log(abar) is smooth there
        position = float(timestep)
        low, high = math.floor(position), math.ceil(position)
        logs = schedule.alphas_cumprod.clamp(min=2.0**-24).log()
        abar = torch.lerp(logs[low], logs[high], position - low).exp()
        signal, noise = abar.sqrt(), (1 - abar).sqrt()
        epsilon = noise * (noisy - signal * MEAN) / (abar * DEVIATION**2 + 1 - abar)
        data = (noisy - noise * epsilon) / signal
        return epsilon if schedule.prediction == "epsilon" else signal * epsilon - noise * data

    return predict


def last(schedule: NoiseSchedule, name: str, num_steps: int, noise: Tensor) -> Tensor:
    generators = [torch.Generator().manual_seed(n) for n in range(len(noise))]
    return list(sample(schedule, (name, num_steps), noise, best_denoiser(schedule), generators))[-1]


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in NOISY])
def test_sampler_without_noise_follows_the_probability_flow(name: str, prediction: Prediction) -> None:
    schedule = NoiseSchedule(scaled_linear_alphas(), prediction)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    abar = schedule.alphas_cumprod[-1]
    deviation = (abar * DEVIATION**2 + 1 - abar).sqrt()
    expected = MEAN + DEVIATION * (noise - abar.sqrt() * MEAN) / deviation
    # first-order samplers are off by O(1/steps); all must come near
    result = last(schedule, name, 200, noise)
    assert float((result - expected).abs().max()) < 0.06 * DEVIATION * float(noise.abs().max())


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("name", NOISY)
def test_sampler_with_noise_draws_from_the_distribution(name: str, prediction: Prediction) -> None:
    schedule = NoiseSchedule(scaled_linear_alphas(), prediction)
    noise = torch.randn(8, 4, 32, 32, generator=torch.Generator().manual_seed(6))
    result = last(schedule, name, 100, noise)
    # 32768 values: the mean's standard error is 0.002, the deviation's 0.0016
    assert float(result.mean()) == pytest.approx(MEAN, abs=0.02)
    # "Euler a" is of first order: 0.350, 0.371, 0.388 at 50, 100, 400 steps
    assert float(result.std()) == pytest.approx(DEVIATION, rel=0.08)
    correlation = torch.corrcoef(torch.stack([noise.flatten(), result.flatten()]))[0, 1]
    assert abs(float(correlation)) < 0.5, "the sampler adds no noise of its own"


@pytest.mark.parametrize("name", NOISY)
def test_noise_of_an_image_does_not_depend_on_its_neighbours(name: str) -> None:
    schedule = NoiseSchedule(scaled_linear_alphas(), "epsilon")
    noise = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(last(schedule, name, 5, noise)[:1], last(schedule, name, 5, noise[:1]))


@pytest.mark.parametrize("name", SAMPLERS)
def test_sampler_stays_finite_at_zero_terminal_snr(name: str) -> None:
    schedule = NoiseSchedule(with_zero_terminal_snr(scaled_linear_alphas()), "v")
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(8))
    result = last(schedule, name, 20, noise)
    assert result.isfinite().all()
    assert float(result.mean()) == pytest.approx(MEAN, abs=0.2)


@pytest.mark.parametrize(
    ("name", "expected"), [("Euler", [0, 1, 2]), ("Heun", [0, 0, 1, 1, 2]), ("DPM2 a", [0, 0, 1, 1, 2])]
)
def test_a_step_is_told_before_each_call_of_the_denoiser(name: str, expected: list[int]) -> None:
    schedule = NoiseSchedule(scaled_linear_alphas(), "epsilon")
    noise, generators = torch.zeros(1, 4, 8, 8), [torch.Generator()]
    told: list[str] = []

    def predict(noisy: Tensor, timestep: Tensor) -> Tensor:
        told.append("call")
        return torch.zeros_like(noisy)

    def on_step(step: int, num_steps: int) -> None:
        told.append(f"{step} of {num_steps}")

    list(sample(schedule, (name, 3), noise, predict, generators, on_step))
    assert told == [line for step in expected for line in (f"{step} of 3", "call")]


def test_unknown_sampler_is_refused_with_the_names_that_exist() -> None:
    schedule = NoiseSchedule(scaled_linear_alphas(), "epsilon")
    with pytest.raises(ModelError, match="Euler a"):
        last(schedule, "Euler b", 5, torch.zeros(1, 4, 8, 8))
