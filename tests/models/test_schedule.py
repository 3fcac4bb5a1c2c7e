"""The noise schedule against diffusers' and against its definition."""

from __future__ import annotations

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler, rescale_zero_terminal_snr

from lib_lyco.models.schedule import scaled_linear_alphas, with_zero_terminal_snr


def test_schedule_is_the_published_one() -> None:
    alphas = scaled_linear_alphas()
    oracle = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    torch.testing.assert_close(alphas, oracle.alphas_cumprod, rtol=2e-5, atol=0)
    # by hand: the first is 1 - beta_0, and log(SNR) at the end gives the well-known sigma 14.6146
    assert float(alphas[0]) == pytest.approx(0.99915, abs=1e-7)
    assert float(((1 - alphas[-1]) / alphas[-1]).sqrt()) == pytest.approx(14.6146, abs=1e-3)


def test_zero_terminal_snr_is_that_of_diffusers() -> None:
    alphas = with_zero_terminal_snr(scaled_linear_alphas())
    oracle = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    expected = torch.cumprod(1 - rescale_zero_terminal_snr(oracle.betas), dim=0)
    torch.testing.assert_close(alphas, expected, rtol=1e-4, atol=1e-7)
    assert float(alphas[-1]) == 0
