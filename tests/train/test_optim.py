"""Updates, clipping, freezing and loss scaling, against torch's optimiser and transformers' schedule."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from transformers import get_scheduler

from lib_lyco.train.optim import Group, Limits, LossScaler, Optimisation
from lib_lyco.train.optimisers import OptimiserChoice, build_optimiser
from lib_lyco.train.schedules import Factor, ScheduleSettings, schedule_factor


def two_groups() -> tuple[list[nn.Parameter], list[Group]]:
    parameters = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))]
    rates = (("unet", 1e-2), ("te1", 1e-3))
    return parameters, [Group(n, [p], r) for (n, r), p in zip(rates, parameters, strict=True)]


def adamw(
    groups: list[Group],
    factor: Factor = lambda _: 1.0,
    limits: Limits | None = None,
    scaler: LossScaler | None = None,
    **arguments: Any,
) -> Optimisation:
    given = [{"params": list(group.parameters), "lr": group.learning_rate} for group in groups]
    built = build_optimiser(OptimiserChoice("AdamW", arguments), given, torch.device("cpu"))
    return Optimisation(groups, factor, built, limits, scaler)


def test_update_is_adamw_with_the_schedule() -> None:
    parameters, groups = two_groups()
    ours = adamw(groups, schedule_factor(ScheduleSettings("cosine", 4)), weight_decay=0.1)
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
    ours = adamw([Group("unet", [parameter], 1.0)], limits=Limits(max_grad_norm=1.0))
    parameter.grad = torch.tensor([3.0, 4.0])
    gradient = parameter.grad
    ours.step(0)
    torch.testing.assert_close(gradient, torch.tensor([0.6, 0.8]), atol=1e-5, rtol=0)
    whole = adamw([Group("unet", [parameter], 1.0)], limits=Limits(max_grad_norm=0.0))
    parameter.grad = torch.tensor([3.0, 4.0])
    gradient = parameter.grad
    whole.step(0)
    assert gradient.tolist() == [3.0, 4.0]  # --max_grad_norm=0.0, as is usual with AdaFactor


def test_gradient_that_is_not_finite_never_reaches_the_optimiser() -> None:
    parameters, groups = two_groups()
    ours = adamw(groups, limits=Limits(max_grad_norm=1.0))
    parameters[0].grad = torch.tensor([1.0, math.inf])
    parameters[1].grad = torch.ones(2)
    assert not ours.step(0)
    assert all(torch.equal(parameter, torch.ones(2)) for parameter in parameters)
    assert not ours.tolerates_overflow


def test_loss_scale_halves_after_overflow_and_doubles_after_good_steps() -> None:
    parameter = nn.Parameter(torch.ones(1))
    scaler = LossScaler(scale=8.0, interval=2)
    ours = adamw([Group("unet", [parameter], 1e-3)], scaler=scaler)
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


def test_frozen_group_is_left_alone_and_gets_no_gradient() -> None:
    """Also by weight decay and momentum, which would move it without a gradient."""
    parameters, groups = two_groups()
    stopping = [groups[0], Group("te1", [parameters[1]], 1e-1, until=2)]
    ours = adamw(stopping, weight_decay=0.5)
    seen: list[tuple[float, float]] = []
    for step in range(4):
        ours.begin_step(step)
        loss = sum((parameter.sum() for parameter in parameters), torch.zeros(()))
        ours.backward(loss)
        assert (parameters[1].grad is None) == (step >= 2)
        assert ours.learning_rates(step)["te1"] == (0.1 if step < 2 else 0.0)
        ours.step(step)
        seen.append((parameters[0][0].item(), parameters[1][0].item()))
    going, frozen = zip(*seen, strict=True)
    assert len(set(going)) == 4
    assert frozen[0] > frozen[1] == frozen[2] == frozen[3]


def test_going_back_before_the_stop_thaws() -> None:
    parameters, groups = two_groups()
    ours = adamw([groups[0], Group("te1", [parameters[1]], 1e-1, until=2)])
    ours.begin_step(2)
    assert not parameters[1].requires_grad
    ours.begin_step(1)
    assert parameters[1].requires_grad


def test_weights_are_limited_after_each_update_only() -> None:
    parameters, groups = two_groups()
    calls: list[float] = []
    ours = adamw(groups, limits=Limits(after_update=lambda: calls.append(parameters[0][0].item())))
    for gradient in (1.0, math.nan):
        for parameter in parameters:
            parameter.grad = torch.full((2,), gradient)
        ours.step(0)
    assert calls == [pytest.approx(0.99, abs=1e-3)]


def test_step_size_found_by_the_optimiser_is_shown() -> None:
    parameters, groups = two_groups()
    ours = adamw(groups)
    for settings in ours.optimiser.param_groups:
        settings["d"] = 1e-4
    assert ours.learning_rates(0) == pytest.approx({"unet": 1e-6, "te1": 1e-7})
    del parameters
