"""Schedules against transformers' own; updates, clipping and loss scaling."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from transformers import get_scheduler

from lib_lyco.errors import ConfigError
from lib_lyco.train.optim import Group, LossScaler, Optimisation, schedule_factor


@pytest.mark.parametrize(
    ("name", "warmup"),
    [
        ("constant", 0),
        ("constant_with_warmup", 0),
        ("constant_with_warmup", 3),
        ("cosine", 0),
        ("cosine", 3),
    ],
)
def test_schedule_is_transformers(name: str, warmup: int) -> None:
    total = 11
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs: Any = get_scheduler(name, optimiser, num_warmup_steps=warmup, num_training_steps=total)
    ours = schedule_factor(name, warmup, total)
    for step in range(total):
        assert ours(step) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimiser.step()
        theirs.step()


def test_unknown_schedule_is_an_error() -> None:
    with pytest.raises(ConfigError, match="cosin"):
        schedule_factor("cosin", 0, 1)


def two_groups() -> tuple[list[nn.Parameter], list[Group]]:
    parameters = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))]
    rates = (("unet", 1e-2), ("te1", 1e-3))
    return parameters, [Group(n, [p], r) for (n, r), p in zip(rates, parameters, strict=True)]


def test_update_is_adamw_with_the_schedule() -> None:
    parameters, groups = two_groups()
    ours = Optimisation(groups, schedule_factor("cosine", 0, 4), weight_decay=0.1, max_grad_norm=0.0)
    twins = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))]
    theirs = torch.optim.AdamW(
        [{"params": [twins[0]], "lr": 1e-2}, {"params": [twins[1]], "lr": 1e-3}], weight_decay=0.1
    )
    schedule: Any = get_scheduler("cosine", theirs, num_warmup_steps=0, num_training_steps=4)
    for step in range(4):
        for parameter in (*parameters, *twins):
            parameter.grad = torch.tensor([0.5, -2.0]) * (step + 1)
        assert ours.learning_rates(step) == pytest.approx(
            dict(zip(("unet", "te1"), schedule.get_last_lr(), strict=True))
        )
        assert ours.step(step)
        theirs.step()
        schedule.step()
    for parameter, twin in zip(parameters, twins, strict=True):
        torch.testing.assert_close(parameter, twin, rtol=0, atol=0)


def test_long_gradient_is_shortened() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    ours = Optimisation([Group("unet", [parameter], 1.0)], lambda _: 1.0, 0.0, max_grad_norm=1.0)
    parameter.grad = torch.tensor([3.0, 4.0])
    gradient = parameter.grad
    ours.step(0)
    torch.testing.assert_close(gradient, torch.tensor([0.6, 0.8]), atol=1e-5, rtol=0)


def test_gradient_that_is_not_finite_never_reaches_the_optimiser() -> None:
    parameters, groups = two_groups()
    ours = Optimisation(groups, lambda _: 1.0, 0.0, 1.0)
    parameters[0].grad = torch.tensor([1.0, math.inf])
    parameters[1].grad = torch.ones(2)
    assert not ours.step(0)
    assert all(torch.equal(parameter, torch.ones(2)) for parameter in parameters)
    assert not ours.tolerates_overflow


def test_loss_scale_halves_after_overflow_and_doubles_after_good_steps() -> None:
    parameter = nn.Parameter(torch.ones(1))
    scaler = LossScaler(scale=8.0, interval=2)
    ours = Optimisation([Group("unet", [parameter], 1e-3)], lambda _: 1.0, 0.0, 0.0, scaler)
    ours.backward((parameter * 3).sum())
    assert parameter.grad is not None
    assert parameter.grad.item() == 24.0
    gradient = parameter.grad
    assert ours.step(0)
    assert gradient.item() == 3.0
    ours.backward((parameter * math.inf).sum())
    assert not ours.step(1)
    assert scaler.scale == 4.0
    for step in (2, 3):
        ours.backward(parameter.sum())
        assert ours.step(step)
    assert scaler.scale == 8.0
    scaler.scale = 0.5
    assert not ours.tolerates_overflow
