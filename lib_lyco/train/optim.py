"""Groups of parameters and the updates of them: rates, clipping, freezing, loss scaling."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lib_lyco.errors import ConfigError
from lib_lyco.train.optimisers import Built
from lib_lyco.train.schedules import Factor


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate."""

    name: str
    parameters: Sequence[nn.Parameter]
    learning_rate: float
    until: int | None = None
    """The step (from 0) at which they are frozen; None is never."""


@dataclass(frozen=True)
class Limits:
    """What gradients and weights may not exceed."""

    max_grad_norm: float = 0.0
    """Gradients longer than this together are shortened to it; 0 is no limit."""
    after_update: Callable[[], None] | None = None
    """Shortens weights after each update."""


class Optimisation:
    """An optimiser over groups, driven by a schedule, with clipping and loss scaling."""

    def __init__(
        self,
        groups: Iterable[Group],
        factor: Factor,
        built: Built,
        limits: Limits | None = None,
        scaler: LossScaler | None = None,
    ) -> None:
        """Takes an optimiser that was built over the same groups in the same order."""
        self.groups = tuple(groups)
        self.notes = built.notes
        """What the user should know of it."""
        self._factor = factor
        self._sets_rates = built.sets_rates
        self.optimiser = built.optimiser
        self.limits = limits or Limits()
        self._scaler = scaler

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Of all groups, frozen ones too."""
        return [parameter for group in self.groups for parameter in group.parameters]

    def learning_rates(self, step: int) -> dict[str, float]:
        """The learning rate of each group at a step (from 0), 0 once it is frozen.

        D-Adaptation and Prodigy multiply it by the step size that they have found so far.
        """
        return {
            group.name: 0.0 if self._frozen(group, step) else rate * settings.get("d", 1.0)
            for group, rate, settings in zip(
                self.groups, self._rates(step), self.optimiser.param_groups, strict=True
            )
        }

    @property
    def tolerates_overflow(self) -> bool:
        """Whether a gradient that is not finite may only mean that the loss scale is too high."""
        return self._scaler is not None and not self._scaler.exhausted

    def begin_step(self, step: int) -> None:
        """Freezes the groups whose time is over, so that nothing is computed for them either."""
        for group in self.groups:
            if group.until is not None:
                for parameter in group.parameters:
                    parameter.requires_grad_(not self._frozen(group, step))

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of a loss, scaled where the compute dtype needs it."""
        (loss if self._scaler is None else loss * self._scaler.scale).backward()

    def step(self, step: int) -> bool:
        """One update from the gradients gathered, which are then cleared.

        Whether they are finite is the one thing that the host waits for.

        Returns:
            False if a gradient was not finite and the optimiser has not seen it. With loss scaling
            that is ordinary: the scale has been lowered for the next step.
        """
        parameters = self.parameters
        if self._scaler is not None:
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            self._scaler.unscale(gradients)
        norm = nn.utils.clip_grad_norm_(parameters, self.limits.max_grad_norm or math.inf)
        finite = bool(torch.isfinite(norm))
        if finite:
            self._update(step)
        for parameter in parameters:
            parameter.grad = None
        if self._scaler is not None:
            self._scaler.adapt(finite)
        return finite

    @contextmanager
    def averaged(self) -> Generator[None]:
        """Within it the parameters are those to save and to draw with: a schedule-free optimiser's
        average. Afterwards those to train on are back, bit for bit, which its own switch does not do."""
        switch = getattr(self.optimiser, "eval", None)
        if switch is None:
            yield
            return
        kept = [parameter.detach().clone() for parameter in self.parameters]
        switch()
        try:
            yield
        finally:
            self.optimiser.train()
            with torch.no_grad():
                for parameter, tensor in zip(self.parameters, kept, strict=True):
                    parameter.copy_(tensor)

    def state(self) -> dict[str, Any]:
        """Everything that changes with the steps, as plain values and tensors."""
        scaler = None if self._scaler is None else self._scaler.state()
        return {"kind": self._kind, "optimiser": self.optimiser.state_dict(), "scaler": scaler}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state` gave.

        Raises:
            ConfigError: It is the state of another optimiser.
        """
        kind = state.get("kind", "AdamW")
        if kind != self._kind:
            raise ConfigError(
                "The state was saved with another optimiser.",
                where="resume",
                got=kind,
                expected=self._kind,
                remedy="Install the package that it was saved with, or start anew without resume.",
            )
        self.optimiser.load_state_dict(state["optimiser"])
        self._restore_dtypes(state["optimiser"]["state"])
        if self._scaler is not None:
            self._scaler.load(state["scaler"])

    @property
    def _kind(self) -> str:
        return type(self.optimiser).__name__

    def _restore_dtypes(self, saved: Mapping[int, Mapping[str, Any]]) -> None:
        """torch loads a state in the dtype of its parameter; Adafactor's, for one, is float32 always."""
        for index, parameter in enumerate(self.parameters):
            own = self.optimiser.state.get(parameter, {})
            for key, value in saved.get(index, {}).items():
                if isinstance(value, Tensor) and isinstance(own.get(key), Tensor):
                    own[key] = own[key] if own[key].dtype == value.dtype else value.to(own[key].device)

    def _rates(self, step: int) -> list[float]:
        return [group.learning_rate * self._factor(step) for group in self.groups]

    @staticmethod
    def _frozen(group: Group, step: int) -> bool:
        return group.until is not None and step >= group.until

    def _update(self, step: int) -> None:
        if self._sets_rates:
            for settings, rate in zip(self.optimiser.param_groups, self._rates(step), strict=True):
                settings["lr"] = rate
        self.optimiser.step()
        if self.limits.after_update is not None:
            self.limits.after_update()


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
        divide = torch._foreach_div_  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        divide(list(gradients), self.scale)

    def adapt(self, finite: bool) -> None:
        """Chooses the next scale."""
        self._good_steps = self._good_steps + 1 if finite else 0
        if not finite:
            self.scale /= 2
        elif self._good_steps >= self._interval:
            self.scale *= 2
            self._good_steps = 0
