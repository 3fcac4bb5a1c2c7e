"""One run while it goes: its events become what is kept and shown of it."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any, cast

from lib_lyco.errors import FileError
from lib_lyco.studio.history import NUMBERS, History, add_message, read_history
from lib_lyco.studio.record import Record, State, number
from lib_lyco.studio.store import Store
from lib_lyco.studio.telling import LOADING, message, phase, sentence
from lib_lyco.studio.turn_control import TurnControl
from lib_lyco.studio.workplace import Interrupted, Place
from lib_lyco.train.events import Caching, Event, Finished, Paused, Resumed, Started, Step
from lib_lyco.train.log import JsonLines, event_line
from lib_lyco.train.plan import Plan

TRACEBACK = "error.txt"
_KEPT_EVERY = 5.0
"""Seconds after which a step is kept; all but steps is kept at once."""
_PACE_STEPS = 20


class LiveRun:
    """A run in the hands of the worker.

    Args:
        store: Where it is kept.
        record: As it stood in the queue.
        clock: Seconds since 1970.
    """

    def __init__(self, store: Store, record: Record, clock: Callable[[], float] = time.time) -> None:
        now = clock()
        self.control = TurnControl()
        self.record = replace(
            record,
            state="preparing",
            started=record.started or now,
            ended=None,
            phase=LOADING,
            message="",
            eta=None,
            waits=False,
        )
        self.folder = store.place(record.id)
        self.stopped = False
        """Whether it ended because it was asked to."""
        self.discarded = False
        """Whether nothing of it is to be left at its end."""
        self.turn_seconds = 0.0
        """What the last turn took."""
        self.history: History = read_history(self.folder)
        self._store = store
        self._clock = clock
        self._log: JsonLines | None = None
        self._times: deque[tuple[int, float]] = deque(maxlen=_PACE_STEPS + 1)
        self._kept_at = 0.0
        self._keep()

    def driven(self, events: Iterator[Event], place: Place) -> Iterator[Event]:
        """Makes the run step by step, each in a turn of its own, to its end; the events, taken up.

        Raises:
            Interrupted: It cannot have its turn any more; what was trained is saved if that is possible.
            Exception: Whatever else ended the run.
        """
        run = cast("Generator[Event]", events)
        with closing(run):
            while (event := self._next(run, place)) is not None:
                self.told(event)
                yield event

    def _next(self, run: Generator[Event], place: Place) -> Event | None:
        try:
            self.control.demand_stay()
            with place.turn():
                began = time.perf_counter()
                event = next(run, None)
                self.turn_seconds = time.perf_counter() - began
                return event
        except Interrupted as interruption:
            # the run's own way to end of an error: it saves what it can, says so, and raises it again
            return run.throw(interruption)

    def told(self, event: Event) -> None:
        """Takes up what the run tells."""
        if isinstance(event, Started):
            self._begin(event)
        elif isinstance(event, Step):
            self._count(event)
        elif isinstance(event, Paused):
            self.change(state="paused", message=f"{event.reason} {event.remedy}")
        elif isinstance(event, Resumed):
            self.change(state="training" if self.record.step else "preparing", message="")
        elif isinstance(event, Finished):
            self.stopped = event.stopped
            self.change(path=str(event.path) if event.path else None)
        if self._log:
            self._log.add(event)
            self.history.add(event_line(event) or {})
        self.change(phase=phase(event) or self.record.phase)
        said = message(event)
        if said:
            self.say(*said)
        soon = not isinstance(event, Step | Caching) or self.record.step == 1
        if soon or self._clock() - self._kept_at > _KEPT_EVERY:
            self._keep()

    def say(self, kind: str, text: str) -> None:
        """Keeps a message."""
        add_message(self.folder, self._clock(), kind, text)

    def end(self, state: State, why: str = "") -> None:
        """Keeps how it ended, or that it waits outside of the worker."""
        over = state not in ("paused", "queued")
        self.change(
            state=state,
            message=why,
            phase="",
            eta=None,
            ended=self._clock() if over else None,
        )
        if why:
            self.say("error" if state == "failed" else "warning", why)
        self._keep()

    def fail(self, error: BaseException) -> None:
        """Keeps that it failed, with the traceback for the report."""
        with suppress(OSError):
            text = "".join(traceback.format_exception(error))
            (self.folder / TRACEBACK).write_text(text, encoding="utf-8")
        self.end("failed", sentence(error))

    def change(self, **values: Any) -> None:
        """Changes what is shown."""
        self.record = replace(self.record, **values)

    def _begin(self, event: Started) -> None:
        plan = event.plan
        self._log = JsonLines(self.folder / NUMBERS, event.step)
        self.history = read_history(self.folder, event.step)
        self.change(
            state="preparing",
            step=event.step,
            total=plan.total_steps,
            epoch=plan.epoch_of(event.step),
            epochs=plan.epochs,
            plan=plan_json(plan),
        )
        for note in plan.notes:
            self.say("note", note)

    def _count(self, event: Step) -> None:
        self._times.append((event.step, event.seconds))
        first_step, first_seconds = self._times[0]
        steps = event.step - first_step
        pace = (event.seconds - first_seconds) / steps if steps > 0 else event.seconds / event.step
        self.change(
            state="training",
            step=event.step,
            epoch=event.epoch,
            loss=number(event.loss),
            average_loss=number(event.average_loss),
            eta=number(event.eta),
            seconds_per_step=number(pace),
        )

    def _keep(self) -> None:
        self._kept_at = self._clock()
        # a full disk: the run itself waits where it has to write; this is shown from memory meanwhile
        with suppress(FileError):
            self._store.write(self.record)


def plan_json(plan: Plan) -> dict[str, Any]:
    """The numbers that a run begins with."""
    return {
        "images": len(plan.records),
        "samples": plan.samples_per_epoch,
        "steps_per_epoch": plan.steps_per_epoch,
        "epochs": plan.epochs,
        "steps": plan.total_steps,
        "text": str(plan),
    }
