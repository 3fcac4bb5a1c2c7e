"""Noise and timesteps against sd-scripts' published formulas, worked by hand, and diffusers."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lib_lyco.train.noise import Draw, NoiseSettings, TimestepSettings, balanced_offsets, draw
from lib_lyco.train.seed import derived_generator

ALL = NoiseSettings(
    offset=0.1,
    offset_random=True,
    adaptive_scale=0.5,
    multires_iterations=4,
    ip_gamma=0.2,
    ip_random=True,
)


def generators(count: int) -> list[torch.Generator]:
    return [derived_generator("test", index) for index in range(count)]


def drawn(latents: Tensor, noise: NoiseSettings | None = None, **when: Any) -> Draw:
    return draw(latents, 1000, generators(len(latents)), noise, TimestepSettings(**when))


@pytest.mark.parametrize("noise", [NoiseSettings(), ALL], ids=["plain", "all"])
def test_what_a_sample_gets_is_the_same_in_any_batch(noise: NoiseSettings) -> None:
    latents = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = drawn(latents, noise)
    alone = draw(latents[2:], 1000, generators(3)[2:], noise)
    assert torch.equal(whole.noise[2:], alone.noise)
    assert torch.equal(whole.added[2:], alone.added)
    assert torch.equal(whole.timesteps[2:], alone.timesteps)


def test_timesteps_are_uniform_and_noise_is_normal() -> None:
    got = drawn(torch.zeros(4000, 1, 2, 2))
    # 4000 draws: a decile's count has standard deviation 19, the mean of 16000 normals 0.008
    counts = torch.histc(got.timesteps.float(), bins=10, min=0, max=1000)
    assert (counts - 400).abs().max() < 95
    assert got.noise.mean().abs() < 0.04
    assert (got.noise.std() - 1).abs() < 0.03
    assert got.added is got.noise


def test_offset_is_common_to_a_channel_and_has_its_strength() -> None:
    plain = drawn(torch.zeros(4000, 2, 2, 2)).noise
    shift = drawn(torch.zeros(4000, 2, 2, 2), NoiseSettings(offset=0.1)).noise - plain
    torch.testing.assert_close(shift, shift[:, :, :1, :1].expand_as(shift), atol=1e-6, rtol=0)
    # 8000 normals: the standard deviation is known to 0.8 %
    assert shift[:, :, 0, 0].std() == pytest.approx(0.1, rel=0.04)
    random = drawn(torch.zeros(4000, 2, 2, 2), NoiseSettings(offset=0.1, offset_random=True)).noise - plain
    # o · U · N has variance o² E[U²] = o² / 3
    assert random[:, :, 0, 0].std() == pytest.approx(0.1 / math.sqrt(3), rel=0.06)


def algorithm_one(abar: Tensor) -> Tensor:
    """psi_t of arXiv 2412.03134 step by step: gammas by Algorithm 1, psi by equation (22)."""
    before = torch.cat([torch.ones(1, dtype=abar.dtype), abar[:-1]])
    gammas, total = [1.0], 1.0
    for t in range(1, len(abar)):
        a = float(abar[t] / before[t])
        c = (1 - a) * math.sqrt(before[t]) / (a * (1 - float(before[t])))
        gammas.append(c * total)
        total += gammas[-1] / math.sqrt(before[t])
    last = total / math.sqrt(1 - float(abar[-1]))
    sums = torch.cumsum(torch.tensor(gammas, dtype=abar.dtype) / last / before.sqrt(), dim=0)
    return sums / (1 - abar).sqrt()


def test_offset_by_timestep_is_the_balanced_strategy_of_the_paper() -> None:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    abar = torch.cumprod(1 - betas, dim=0)
    psi = balanced_offsets(abar)
    torch.testing.assert_close(psi, algorithm_one(abar), rtol=1e-6, atol=0)
    assert psi[-1] == 1 and (psi.diff() > 0).all()
    plain = drawn(torch.zeros(500, 2, 2, 2)).noise
    even, by_timestep = (
        drawn(torch.zeros(500, 2, 2, 2), NoiseSettings(offset=0.5, offset_by_timestep=weights))
        for weights in (None, psi)
    )
    weights = psi[by_timestep.timesteps].float().view(-1, 1, 1, 1)
    torch.testing.assert_close(by_timestep.noise - plain, (even.noise - plain) * weights, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("scale", "strengths"), [(0.5, (0.1 + 1.0, 0.1 + 0.25)), (-0.1, (0.0, 0.05))])
def test_adaptive_strength_is_offset_plus_scale_times_the_channels_absolute_mean(
    scale: float, strengths: tuple[float, float]
) -> None:
    latents = torch.zeros(1, 2, 4, 4)
    latents[0, 0], latents[0, 1] = -2.0, 0.5  # means whose absolute values are 2 and 0.5
    plain = drawn(latents).noise
    unit = drawn(latents, NoiseSettings(offset=1.0)).noise - plain
    shift = drawn(latents, NoiseSettings(offset=0.1, adaptive_scale=scale)).noise - plain
    expected = unit * torch.tensor(strengths).view(1, 2, 1, 1)
    torch.testing.assert_close(shift, expected, atol=1e-6, rtol=0)


def test_pyramid_is_kohyas_sum_over_its_own_deviation() -> None:
    latents = torch.zeros(1, 4, 12, 8)
    got = drawn(latents, NoiseSettings(multires_iterations=9, multires_discount=0.8)).noise
    generator = generators(1)[0]
    torch.randint(1000, (), generator=generator)
    noise = torch.randn(4, 12, 8, generator=generator)
    for i in range(9):
        r = 2 + 2 * torch.rand((), generator=generator).item()
        h, w = max(1, int(12 / r**i)), max(1, int(8 / r**i))
        layer = torch.randn(1, 4, h, w, generator=generator)
        noise = noise + functional.interpolate(layer, (12, 8), mode="bilinear")[0] * 0.8**i
        if h == 1 or w == 1:
            break
    else:
        pytest.fail("sides of 12 and 8 reach 1 in at most 4 layers")
    torch.testing.assert_close(got[0], noise / noise.std())


def test_pyramid_keeps_unit_deviation_and_moves_power_to_low_frequencies() -> None:
    latents = torch.zeros(200, 4, 16, 16)
    got = drawn(latents, NoiseSettings(multires_iterations=6, multires_discount=0.8)).noise
    assert torch.allclose(got.std(dim=(1, 2, 3)), torch.ones(200), atol=1e-5)
    # channel means of 256 independent normals have deviation 1 / 16
    assert drawn(latents).noise.mean(dim=(2, 3)).std() == pytest.approx(1 / 16, rel=0.15)
    assert got.mean(dim=(2, 3)).std() > 0.2


def test_input_perturbation_is_seen_but_not_asked_for() -> None:
    latents = torch.zeros(2000, 1, 2, 2)
    got = drawn(latents, NoiseSettings(ip_gamma=0.1))
    assert torch.equal(got.noise, drawn(latents).noise)
    assert (got.added - got.noise).std() == pytest.approx(0.1, rel=0.04)
    random = drawn(latents, NoiseSettings(ip_gamma=0.1, ip_random=True))
    assert (random.added - random.noise).std() == pytest.approx(0.1 / math.sqrt(3), rel=0.06)


@pytest.mark.parametrize("sampling", ["uniform", "logit_normal", "mode"])
def test_timesteps_stay_in_their_range(sampling: str) -> None:
    steps = drawn(torch.zeros(3000, 1, 1, 1), first=200, end=203, sampling=sampling).timesteps
    assert set(steps.tolist()) == {200, 201, 202}


@pytest.mark.parametrize(
    ("sampling", "mean", "scale"), [("logit_normal", 1.0, 0.5), ("mode", 0.0, 1.29), ("mode", 0.0, -0.5)]
)
def test_sampling_of_timesteps_is_diffusers(
    diffusers_training: ModuleType, sampling: str, mean: float, scale: float
) -> None:
    ours = drawn(torch.zeros(300, 1, 1, 1), sampling=sampling, mean=mean, scale=scale).timesteps
    for step, generator in zip(ours.tolist(), generators(300), strict=True):
        share = diffusers_training.compute_density_for_timestep_sampling(
            sampling, 1, logit_mean=mean, logit_std=scale, mode_scale=scale, generator=generator
        )
        assert step == int(share * 1000)
