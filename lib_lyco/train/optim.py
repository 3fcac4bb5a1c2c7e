"""Optimiser, learning-rate schedules and loss scaling."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lib_lyco.errors import ConfigError

Factor = Callable[[int], float]
"""Step (from 0) -> what the base learning rate is multiplied by."""


def schedule_factor(name: str, warmup: int, total: int) -> Factor:
    """A learning-rate schedule by name.

    The formulas are those of transformers' `get_scheduler`: k / warmup during the warmup, then 1
    (constant) or (1 + cos(pi p)) / 2 with p = (k - warmup) / (total - warmup).

    Raises:
        ConfigError: There is no schedule of this name.
    """
    shapes: dict[str, Factor] = {
        "constant": lambda step: 1.0,
        "constant_with_warmup": lambda step: 1.0,
        "cosine": lambda step: 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))),
    }
    if name not in shapes:
        raise ConfigError(
            "There is no such schedule.", where="scheduler", got=name, expected=", ".join(shapes)
        )
    shape = shapes[name]
    return lambda step: step / max(1, warmup) if step < warmup else max(0.0, shape(step))


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate."""

    name: str
    parameters: Sequence[nn.Parameter]
    learning_rate: float


class Optimisation:
    """AdamW over groups, driven by a schedule, with clipping and loss scaling."""

    def __init__(
        self,
        groups: Iterable[Group],
        factor: Factor,
        weight_decay: float,
        max_grad_norm: float,
        scaler: LossScaler | None = None,
    ) -> None:
        self.groups = tuple(groups)
        self._factor = factor
        self._max_grad_norm = max_grad_norm
        self._scaler = scaler
        self._adamw = torch.optim.AdamW(
            [{"params": list(group.parameters), "lr": group.learning_rate} for group in self.groups],
            weight_decay=weight_decay,
        )

    def learning_rates(self, step: int) -> dict[str, float]:
        """The learning rate of each group at a step (from 0)."""
        return {group.name: group.learning_rate * self._factor(step) for group in self.groups}

    @property
    def tolerates_overflow(self) -> bool:
        """Whether a gradient that is not finite may only mean that the loss scale is too high."""
        return self._scaler is not None and not self._scaler.exhausted

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of a loss, scaled where the compute dtype needs it."""
        (loss if self._scaler is None else loss * self._scaler.scale).backward()

    def step(self, step: int) -> bool:
        """One update from the gradients gathered, which are then cleared.

        Returns:
            False if a gradient was not finite and the optimiser has not seen it. With loss scaling
            that is ordinary: the scale has been lowered for the next step.
        """
        parameters = [parameter for group in self.groups for parameter in group.parameters]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self._scaler is not None:
            self._scaler.unscale(gradients)
        finite = all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
        if finite:
            self._update(step, parameters)
        self._adamw.zero_grad(set_to_none=True)
        if self._scaler is not None:
            self._scaler.adapt(finite)
        return finite

    def state(self) -> dict[str, Any]:
        """Everything that changes with the steps, as plain values and tensors."""
        scaler = None if self._scaler is None else self._scaler.state()
        return {"optimiser": self._adamw.state_dict(), "scaler": scaler}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state` gave."""
        self._adamw.load_state_dict(state["optimiser"])
        if self._scaler is not None:
            self._scaler.load(state["scaler"])

    def _update(self, step: int, parameters: Sequence[nn.Parameter]) -> None:
        if self._max_grad_norm > 0:
            nn.utils.clip_grad_norm_(parameters, self._max_grad_norm)
        for settings, rate in zip(
            self._adamw.param_groups, self.learning_rates(step).values(), strict=True
        ):
            settings["lr"] = rate
        self._adamw.step()


class LossScaler:
    """Keeps fp16 gradients in range: the loss is multiplied by `scale` before backward.

    The rule is that of mixed-precision training (arXiv 1710.03740): halve after an overflow, double
    after `interval` steps without one. A scale of 1 that still overflows is no scaling problem.
    """

    def __init__(self, scale: float = 2.0**16, interval: int = 2000) -> None:
        self.scale = scale
        self._interval = interval
        self._good_steps = 0

    def state(self) -> tuple[float, int]:
        """What changes with the steps."""
        return self.scale, self._good_steps

    def load(self, state: tuple[float, int]) -> None:
        """Takes up what `state` gave."""
        self.scale, self._good_steps = state

    @property
    def exhausted(self) -> bool:
        """Whether the scale cannot be lowered any more."""
        return self.scale < 1.0

    def unscale(self, gradients: Iterable[Tensor]) -> None:
        """Divides gradients by the scale, in place."""
        for gradient in gradients:
            gradient.div_(self.scale)

    def adapt(self, finite: bool) -> None:
        """Chooses the next scale."""
        self._good_steps = self._good_steps + 1 if finite else 0
        if not finite:
            self.scale /= 2
        elif self._good_steps >= self._interval:
            self.scale *= 2
            self._good_steps = 0
