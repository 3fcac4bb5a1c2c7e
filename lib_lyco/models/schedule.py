"""The forward process that Stable Diffusion was trained with."""

from __future__ import annotations

import torch
from torch import Tensor


def scaled_linear_alphas(beta_range: tuple[float, float] = (0.00085, 0.012), num: int = 1000) -> Tensor:
    """abar_t, (num,) float32, for betas whose square roots are linear (Rombach et al. 2022)."""
    start, end = beta_range
    betas = torch.linspace(start**0.5, end**0.5, num, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, dim=0).float()


def with_zero_terminal_snr(alphas_cumprod: Tensor) -> Tensor:
    """The schedule (T,) with sqrt(abar) shifted and scaled: its last value is 0, its first is kept.

    Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps are Flawed", algorithm 1.
    """
    roots = alphas_cumprod.double().sqrt()
    scaled = (roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1]))
    return (scaled**2).float()
