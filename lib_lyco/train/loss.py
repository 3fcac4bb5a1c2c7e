"""From prediction and target to a sample's loss, and what the losses of a timestep are multiplied by.

SNR s = abar / (1 - abar). Formulas are those of sd-scripts (`train_util.conditional_loss`,
`custom_train_functions`) where a paper is not named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_lyco.models.base import Prediction

LOSSES = ("l2", "l1", "huber", "smooth_l1")
HUBER_SCHEDULES = ("constant", "exponential", "snr")
_LARGEST_SNR = 1000.0
"""Where a weight would grow without bound."""


@dataclass(frozen=True)
class LossSettings:
    """What the difference of prediction and target costs."""

    kind: str = "l2"
    """Of `LOSSES`."""
    huber_schedule: str = "snr"
    """Of `HUBER_SCHEDULES`: how the threshold goes over the timesteps."""
    huber_c: float = 0.1
    huber_scale: float = 1.0

    @property
    def has_threshold(self) -> bool:
        """Whether the cost is quadratic below a threshold and linear above."""
        return self.kind in ("huber", "smooth_l1")

    def thresholds(self, timesteps: Tensor, abar: Tensor, num_timesteps: int) -> Tensor:
        """The threshold c of each sample, (b,) float32, for timesteps and abar (b,).

        constant: c · scale. exponential: c^(t / T) · scale. snr: (1 - c) / (1 + sigma)² + c with
        sigma = sqrt((1 - abar) / abar).
        """
        if self.huber_schedule == "constant":
            return torch.full_like(abar, self.huber_c * self.huber_scale)
        if self.huber_schedule == "exponential":
            decay = math.log(self.huber_c) / num_timesteps
            return torch.exp(decay * timesteps).to(abar.dtype) * self.huber_scale
        sigma = ((1 - abar) / abar).sqrt()
        return (1 - self.huber_c) / (1 + sigma) ** 2 + self.huber_c

    def elementwise(self, predicted: Tensor, target: Tensor, threshold: Tensor | None) -> Tensor:
        """The cost of each element, (b, c, h, w), for a threshold (b,) where there is one.

        huber: 2c (sqrt(d² + c²) - c). smooth_l1: 2 (sqrt(d² + c²) - c). Computed as d² over the sum, for
        the difference of two near numbers loses 1 % of a small d.
        """
        difference = predicted - target
        if self.kind == "l1":
            return difference.abs()
        if threshold is None:
            return difference.square()
        c = threshold.view(-1, 1, 1, 1)
        square = difference.square()
        cost = 2 * square / ((square + c.square()).sqrt() + c)
        return cost * c if self.kind == "huber" else cost


@dataclass(frozen=True)
class WeightSettings:
    """How much each timestep counts, by its SNR s; everything that is on is multiplied."""

    min_snr_gamma: float = 0.0
    """min(s, gamma) / s, for v over s + 1; 0 is off."""
    debiased: bool = False
    """1 / sqrt(s), for v 1 / (s + 1) (arXiv 2310.08442)."""
    scale_v_pred: bool = False
    """v only: s / (s + 1), which makes its loss that of eps."""
    v_pred_like: float = 0.0
    """eps only: adds this times the loss that v would have, loss · (s + 1) / s."""
    p2_gamma: float = 0.0
    """1 / (1 + s)^gamma (arXiv 2204.00227, with k = 1); 0 is off."""

    def weights(self, abar: Tensor, prediction: Prediction) -> Tensor | None:
        """The factor of each sample, (b,), for abar (b,); None if nothing is on."""
        factors: list[Tensor] = []
        snr = abar / (1 - abar)
        limited = snr.clamp(max=_LARGEST_SNR)
        if self.min_snr_gamma > 0:
            factors.append(min_snr_weight(abar, self.min_snr_gamma, prediction))
        if self.scale_v_pred:
            factors.append(limited / (limited + 1))
        if self.v_pred_like > 0:
            factors.append(1 + self.v_pred_like * (limited + 1) / limited)
        if self.debiased:
            factors.append(limited.rsqrt() if prediction == "epsilon" else 1 / (limited + 1))
        if self.p2_gamma > 0:
            factors.append((1 + snr) ** -self.p2_gamma)
        return torch.stack(factors).prod(dim=0) if factors else None


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
