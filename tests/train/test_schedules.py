"""Schedules against transformers' and diffusers' own."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch
from diffusers.optimization import get_piecewise_constant_schedule
from torch import nn
from transformers import get_scheduler
from transformers.optimization import AdafactorSchedule

from lib_lyco.errors import ConfigError
from lib_lyco.train.schedules import ScheduleSettings, relative_step_rates, schedule_factor

TOTAL = 23
RATE = 1e-3


def stepped(schedule: Any, optimiser: Any, steps: int) -> list[float]:
    rates: list[float] = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    return rates


def sgd() -> torch.optim.SGD:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=RATE)


@pytest.mark.skipif(
    "scheduler_specific_kwargs" not in inspect.signature(get_scheduler).parameters,
    reason="the WebUI's transformers takes no arguments of a schedule",
)
@pytest.mark.parametrize("warmup", [0, 3])
@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("constant_with_warmup", {}, {}),
        ("linear", {}, {}),
        ("cosine", {}, {}),
        ("cosine_with_restarts", {"cycles": 3}, {"num_cycles": 3}),
        ("polynomial", {"power": 2.0, "end": 1e-7 / RATE}, {"power": 2.0}),
        ("inverse_sqrt", {}, {}),
        ("inverse_sqrt", {"timescale": 7}, {"timescale": 7}),
        # sd-scripts hands over half of its num_cycles
        ("cosine_with_min_lr", {"min_ratio": 0.1}, {"num_cycles": 0.5, "min_lr_rate": 0.1}),
        ("cosine_with_min_lr", {"min_ratio": 0.1, "cycles": 3}, {"num_cycles": 1.5, "min_lr_rate": 0.1}),
        (
            "warmup_stable_decay",
            {"decay": 5, "min_ratio": 0.2, "cycles": 2},
            {"num_decay_steps": 5, "min_lr_ratio": 0.2, "num_cycles": 1.0},
        ),
    ],
)
def test_schedule_is_transformers(
    name: str, ours: dict[str, Any], theirs: dict[str, Any], warmup: int
) -> None:
    optimiser = sgd()
    schedule = get_scheduler(
        name, optimiser, num_warmup_steps=warmup, num_training_steps=TOTAL, scheduler_specific_kwargs=theirs
    )
    expected = stepped(schedule, optimiser, TOTAL)
    factor = schedule_factor(ScheduleSettings(name, TOTAL, warmup, **ours))
    assert [factor(step) * RATE for step in range(TOTAL)] == pytest.approx(expected, abs=1e-15)
    assert len(set(expected)) > 2 or (name, warmup) == ("constant_with_warmup", 0)


def test_constant_is_constant() -> None:
    factor = schedule_factor(ScheduleSettings("constant", TOTAL))
    assert {factor(step) for step in range(TOTAL)} == {1.0}


def test_piecewise_constant_is_diffusers() -> None:
    rules, optimiser = "1:10,0.1:20,0.5", sgd()
    expected = stepped(get_piecewise_constant_schedule(optimiser, rules), optimiser, TOTAL)
    factor = schedule_factor(ScheduleSettings("piecewise_constant", TOTAL, rules=rules))
    assert [factor(step) * RATE for step in range(TOTAL)] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("rules", ["", "1:10", "1:20,0.5:10,0.1", "a:1,2", "1:x,2", "-1:5,1", "1,2"])
def test_rules_that_cannot_be_followed_are_errors(rules: str) -> None:
    with pytest.raises(ConfigError) as caught:
        schedule_factor(ScheduleSettings("piecewise_constant", TOTAL, rules=rules))
    assert caught.value.where == "scheduler_rules"


def test_rex_is_the_papers() -> None:
    """(1 - p) / (1/2 + (1 - p) / 2), arXiv 2107.04197, by hand at p = 0, 1/2 and 4/5."""
    factor = schedule_factor(ScheduleSettings("rex", 12, warmup=2))
    assert [factor(step) for step in (1, 2, 7, 10)] == pytest.approx([0.5, 1.0, 2 / 3, 0.2 / 0.6])


def test_warmup_of_stable_decay_rises_from_the_lowest_ratio() -> None:
    factor = schedule_factor(ScheduleSettings("warmup_stable_decay", 10, 4, decay=2, min_ratio=0.2))
    assert [factor(step) for step in (0, 2, 4, 7)] == pytest.approx([0.2, 0.6, 1.0, 1.0])


@pytest.mark.parametrize("warmup_init", [False, True])
def test_relative_steps_are_those_that_adafactor_uses(warmup_init: bool) -> None:
    """transformers' Adafactor, with the parameter's own size left out."""
    from transformers.optimization import Adafactor

    parameter = nn.Parameter(torch.ones(4))
    optimiser = Adafactor([parameter], scale_parameter=False, warmup_init=warmup_init)
    schedule = AdafactorSchedule(optimiser)
    factor = relative_step_rates(warmup_init)
    for step in range(12):
        parameter.grad = torch.ones(4)
        optimiser.step()
        assert factor(step) == pytest.approx(schedule.get_lr()[0])
    assert factor(40_000) == pytest.approx(1 / math.sqrt(40_001))


def test_unknown_schedule_is_an_error() -> None:
    with pytest.raises(ConfigError, match="cosin"):
        schedule_factor(ScheduleSettings("cosin", 1))
