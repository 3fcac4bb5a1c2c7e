"""How the learning rate changes over the steps: what the base rate is multiplied by.

The formulas are those of transformers' `get_scheduler` and, for piecewise_constant, of diffusers'; REX
is that of Chen et al. 2021 (arXiv 2107.04197). All count updates of the whole run, so they are the
same with any number of processes, which accelerate's wrapped schedulers are not.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lib_lyco.errors import ConfigError

Factor = Callable[[int], float]
"""Step (from 0) -> what the base learning rate is multiplied by."""

_TIMESCALE = 10_000
"""Of inverse_sqrt, where nothing is set and there is no warmup."""


@dataclass(frozen=True)
class ScheduleSettings:
    """A schedule and its numbers; each counts only for the schedules that name it."""

    name: str
    total: int
    """Steps of the run."""
    warmup: int = 0
    """Steps in which the rate rises from 0; not for constant and piecewise_constant."""
    decay: int = 0
    """warmup_stable_decay: steps of the fall at the end."""
    cycles: int = 1
    """cosine_with_restarts: falls; cosine_with_min_lr and warmup_stable_decay: half waves."""
    power: float = 1.0
    """polynomial."""
    end: float = 0.0
    """polynomial: the factor at the last step."""
    min_ratio: float = 0.0
    """cosine_with_min_lr, warmup_stable_decay: the lowest factor."""
    timescale: int = 0
    """inverse_sqrt; 0 takes the warmup, or 10000 without one."""
    rules: str = ""
    """piecewise_constant: `factor:step` up to each step, with commas, and the last factor."""


def schedule_factor(settings: ScheduleSettings) -> Factor:
    """The factor of every step.

    Raises:
        ConfigError: There is no schedule of this name, or its rules cannot be read.
    """
    if settings.name not in _SHAPES:
        raise ConfigError(
            "There is no such schedule.",
            where="scheduler",
            got=settings.name,
            expected=", ".join(SCHEDULERS),
        )
    shape = _SHAPES[settings.name](settings)
    warmup, lowest = settings.warmup, 0.0
    if settings.name == "warmup_stable_decay":
        lowest = settings.min_ratio

    def factor(step: int) -> float:
        if step < warmup:
            return lowest + (1 - lowest) * step / warmup
        return max(0.0, shape(step))

    return factor


def _progress(settings: ScheduleSettings, step: int) -> float:
    """How far a step is between the warmup and the end: p = (k - w) / (T - w)."""
    return (step - settings.warmup) / max(1, settings.total - settings.warmup)


def _constant(_: ScheduleSettings) -> Factor:
    return lambda step: 1.0


def _linear(s: ScheduleSettings) -> Factor:
    return lambda step: (s.total - step) / max(1, s.total - s.warmup)


def _cosine(s: ScheduleSettings) -> Factor:
    return lambda step: 0.5 * (1 + math.cos(math.pi * _progress(s, step)))


def _restarts(s: ScheduleSettings) -> Factor:
    def shape(step: int) -> float:
        p = _progress(s, step)
        return 0.0 if p >= 1 else 0.5 * (1 + math.cos(math.pi * ((s.cycles * p) % 1)))

    return shape


def _polynomial(s: ScheduleSettings) -> Factor:
    return lambda step: (1 - s.end) * max(0.0, 1 - _progress(s, step)) ** s.power + s.end


def _inverse_sqrt(s: ScheduleSettings) -> Factor:
    scale = s.timescale or s.warmup or _TIMESCALE
    return lambda step: 1 / math.sqrt((step + scale - s.warmup) / scale)


def _cosine_with_min(s: ScheduleSettings) -> Factor:
    return lambda step: _half_waves(_progress(s, step), s)


def _half_waves(p: float, s: ScheduleSettings) -> float:
    return 0.5 * (1 + math.cos(math.pi * s.cycles * p)) * (1 - s.min_ratio) + s.min_ratio


def _stable_decay(s: ScheduleSettings) -> Factor:
    fall = s.total - s.decay

    def shape(step: int) -> float:
        if step < fall:
            return 1.0
        return _half_waves((step - fall) / max(1, s.decay), s) if step < s.total else s.min_ratio

    return shape


def _rex(s: ScheduleSettings) -> Factor:
    return lambda step: (1 - _progress(s, step)) / (1 - _progress(s, step) / 2)


def _piecewise(s: ScheduleSettings) -> Factor:
    *parts, last = s.rules.split(",")
    try:
        steps = [int(part.split(":")[1]) for part in parts]
        factors = [float(part.split(":")[0]) for part in parts] + [float(last)]
    except (ValueError, IndexError) as error:
        raise ConfigError(
            "The rules of the schedule cannot be read.",
            where="scheduler_rules",
            got=repr(s.rules),
            expected="factor:step with commas and a last factor, like 1:100,0.5:200,0.1",
        ) from error
    if steps != sorted(set(steps)) or min(factors) < 0:
        raise ConfigError(
            "The rules of the schedule contradict each other.",
            where="scheduler_rules",
            got=repr(s.rules),
            expected="steps that rise, and no factor below 0",
        )
    return lambda step: factors[bisect_right(steps, step)]


_SHAPES: Mapping[str, Callable[[ScheduleSettings], Factor]] = {
    "constant": _constant,
    "constant_with_warmup": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_restarts": _restarts,
    "polynomial": _polynomial,
    "inverse_sqrt": _inverse_sqrt,
    "cosine_with_min_lr": _cosine_with_min,
    "warmup_stable_decay": _stable_decay,
    "piecewise_constant": _piecewise,
    "rex": _rex,
}
ADAFACTOR = "adafactor"
"""Adafactor's own rates, which nothing else sets."""
SCHEDULERS = (*_SHAPES, ADAFACTOR)
WITHOUT_WARMUP = ("constant", "piecewise_constant", ADAFACTOR)
WITHOUT_END = ("constant", "constant_with_warmup", "inverse_sqrt", "piecewise_constant", ADAFACTOR)
"""Schedules whose learning rate does not depend on when the run ends."""


def relative_step_rates(warmup_init: bool) -> Factor:
    """What Adafactor (arXiv 1804.04235, section 9) uses with relative_step, before the parameter's own
    size is multiplied on: min(0.01, 1 / sqrt(t)), with warmup_init min(t / 10^6, 1 / sqrt(t)), t from 1."""
    return lambda step: min(1e-6 * (step + 1) if warmup_init else 1e-2, 1 / math.sqrt(step + 1))
