"""Costs and weights of timesteps, by hand from sd-scripts' and the papers' formulas."""

from __future__ import annotations

import math

import pytest
import torch

from lib_lyco.models.base import Prediction
from lib_lyco.train.loss import LossSettings, WeightSettings, min_snr_weight

T = 1000


def abar_of(snr: float) -> torch.Tensor:
    return torch.tensor([snr / (1 + snr)], dtype=torch.float64)


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
    torch.testing.assert_close(
        min_snr_weight(abar_of(snr), 5.0, prediction), torch.tensor([weight], dtype=torch.float64)
    )


@pytest.mark.parametrize(
    ("settings", "snr", "prediction", "weight"),
    [
        (WeightSettings(debiased=True), 4.0, "epsilon", 0.5),
        (WeightSettings(debiased=True), 1e6, "epsilon", 1 / math.sqrt(1000)),
        (WeightSettings(debiased=True), 4.0, "v", 0.2),
        (WeightSettings(debiased=True), 1e6, "v", 1 / 1001),
        (WeightSettings(scale_v_pred=True), 4.0, "v", 0.8),
        (WeightSettings(scale_v_pred=True), 1e6, "v", 1000 / 1001),
        (WeightSettings(v_pred_like=0.5), 4.0, "epsilon", 1 + 0.5 * 5 / 4),
        (WeightSettings(v_pred_like=0.5), 1e6, "epsilon", 1 + 0.5 * 1001 / 1000),
        (WeightSettings(p2_gamma=0.5), 3.0, "epsilon", 0.5),
        # all that is on is multiplied
        (WeightSettings(min_snr_gamma=5.0, debiased=True), 25.0, "epsilon", 0.2 * 0.2),
        (WeightSettings(min_snr_gamma=5.0, scale_v_pred=True), 9.0, "v", 0.5 * 0.9),
    ],
)
def test_weight_of_a_timestep(
    settings: WeightSettings, snr: float, prediction: Prediction, weight: float
) -> None:
    got = settings.weights(abar_of(snr), prediction)
    assert got is not None
    assert got.item() == pytest.approx(weight, rel=1e-6)


def test_no_weights_by_default() -> None:
    assert WeightSettings().weights(abar_of(1.0), "epsilon") is None


@pytest.mark.parametrize(
    ("schedule", "timestep", "snr", "threshold"),
    [
        ("constant", 300, 1.0, 0.1 * 2),
        # 0.1^(t / 1000) · scale
        ("exponential", 0, 1.0, 2.0),
        ("exponential", 500, 1.0, 2 * math.sqrt(0.1)),
        # sigma = 1 / sqrt(s): 0.9 / (1 + sigma)² + 0.1, whatever the scale
        ("snr", 300, 1.0, 0.9 / 4 + 0.1),
        ("snr", 300, 0.25, 0.9 / 9 + 0.1),
        ("snr", 999, 0.0, 0.1),
    ],
)
def test_huber_threshold_is_kohyas(schedule: str, timestep: int, snr: float, threshold: float) -> None:
    settings = LossSettings("huber", schedule, huber_c=0.1, huber_scale=2.0)
    got = settings.thresholds(torch.tensor([timestep]), abar_of(snr), T)
    assert got.item() == pytest.approx(threshold, rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "cost"),
    [
        # d = 3, c = 4: sqrt(9 + 16) = 5
        ("l2", 9.0),
        ("l1", 3.0),
        ("huber", 2 * 4 * (5 - 4)),
        ("smooth_l1", 2 * (5 - 4)),
    ],
)
def test_cost_of_a_difference(kind: str, cost: float) -> None:
    predicted, target = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), -1.0)
    settings = LossSettings(kind)
    threshold = torch.tensor([4.0]) if settings.has_threshold else None
    assert settings.elementwise(predicted, target, threshold).item() == pytest.approx(cost)


def test_threshold_is_each_samples_own() -> None:
    predicted, target = torch.full((2, 1, 1, 1), 3.0), torch.zeros(2, 1, 1, 1)
    got = LossSettings("huber").elementwise(predicted, target, torch.tensor([4.0, 1e3]))
    # far below its threshold huber is the square
    assert got.flatten().tolist() == pytest.approx([8.0, 9.0], rel=1e-4)
