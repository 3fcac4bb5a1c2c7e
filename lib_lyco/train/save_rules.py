"""When something is due, and which older files are too many; the rules are sd-scripts'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Every:
    """A rhythm in epochs and in steps; 0 is off."""

    epochs: int = 0
    steps: int = 0

    def at_step(self, step: int) -> bool:
        """Whether a step (from 1) is one of the rhythm's."""
        return self.steps > 0 and step % self.steps == 0

    def at_epoch(self, epoch: int | None) -> bool:
        """Whether an epoch (from 1) is one of the rhythm's; None is none."""
        return self.epochs > 0 and epoch is not None and epoch % self.epochs == 0

    def at(self, step: int, epoch: int | None) -> bool:
        """Whether a step, or the epoch that it ends, is one of the rhythm's."""
        return self.at_step(step) or self.at_epoch(epoch)


@dataclass(frozen=True)
class Last:
    """How much of what was saved stays; None keeps all."""

    epochs: int | None = None
    """So many files of epochs."""
    steps: int | None = None
    """Files of so many steps."""


@dataclass(frozen=True)
class Due:
    """A numbered file that belongs to a step."""

    reason: Literal["step", "epoch"]
    number: int
    """Of the step or the epoch."""


@dataclass(frozen=True)
class SaveRules:
    """When numbered files are written, and which are removed again."""

    every: Every = Every()
    last: Last = Last()

    def due(self, step: int, epoch: int | None) -> Iterator[Due]:
        """The files that belong to a step that is done, and to the epoch that it ends."""
        if self.every.at_step(step):
            yield Due("step", step)
        if epoch is not None and self.every.at_epoch(epoch):
            yield Due("epoch", epoch)

    def obsolete(self, due: Due, last: Last | None = None) -> Due | None:
        """The one older file that is too many once `due` is there.

        As sd-scripts counts (`get_remove_epoch_no`, `get_remove_step_no`): of epochs, the one that was
        saved n saves ago; of steps, the newest multiple of the rhythm that is more than n steps back.
        """
        last = self.last if last is None else last
        if due.reason == "epoch":
            number = 0 if last.epochs is None else due.number - self.every.epochs * last.epochs
        else:
            number = 0 if last.steps is None else due.number - last.steps - 1
            number -= number % max(1, self.every.steps)
        return Due(due.reason, number) if number > 0 else None
