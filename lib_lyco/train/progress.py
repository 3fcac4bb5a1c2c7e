"""Where a run is, and how its loss goes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from lib_lyco.train.events import Step
from lib_lyco.train.plan import Plan
from lib_lyco.train.recovery import Change
from lib_lyco.train.state import State


class Progress:
    """Counts steps, losses and time; `state` is where it goes on from."""

    def __init__(self, plan: Plan, clock: Callable[[], float], state: State | None) -> None:
        self.losses: deque[float] = deque(maxlen=plan.steps_per_epoch)
        self.whole = True
        """False while weights and counters may not be of the same step."""
        self.changes: tuple[Change, ...] = state.changes if state else ()
        """What the run does otherwise than its config says."""
        self._plan = plan
        self._clock = clock
        self._start = clock() - (state.seconds if state else 0.0)
        self.go_back_to(state)

    def go_back_to(self, state: State | None) -> None:
        """Counts on from a state, or from the beginning; the time passed stays passed."""
        self.step = state.step if state else 0
        self.losses.clear()
        self.losses.extend(state.losses if state else ())
        self.loss = self.losses[-1] if self.losses else math.nan
        self.whole = True

    @property
    def seconds(self) -> float:
        """Since the run started training, without pauses."""
        return self._clock() - self._start

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 1; 0 before the first."""
        return self._plan.epoch_of(self.step)

    @property
    def ended_epoch(self) -> int | None:
        """The epoch that is whole with the last step; None inside of one."""
        return self.epoch if self._plan.ends_epoch(self.step) else None

    @property
    def over(self) -> bool:
        """Whether all steps are made."""
        return self.step >= self._plan.total_steps

    def leave_out(self, since: float) -> None:
        """Takes the time since that moment of `seconds` for a pause."""
        self._start += self.seconds - since

    def made_step(self, loss: float, learning_rates: dict[str, float], updated: bool) -> Step:
        """Counts a step that is done."""
        self.step += 1
        self.loss = loss
        self.losses.append(loss)
        self.whole = True
        total = self._plan.total_steps
        return Step(
            step=self.step,
            total=total,
            epoch=self.epoch,
            loss=loss,
            average_loss=sum(self.losses) / len(self.losses),
            learning_rates=learning_rates,
            seconds=self.seconds,
            eta=self.seconds / self.step * (total - self.step),
            updated=updated,
        )
