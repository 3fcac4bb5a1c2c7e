"""The thread that works on the queue: run after run; a failure ends one run, not the queue."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Protocol

from lib_lyco.errors import LycoError
from lib_lyco.studio.live_run import LiveRun
from lib_lyco.studio.ownership import Ownership
from lib_lyco.studio.record import ACTIVE, Record
from lib_lyco.studio.removal import remove_run
from lib_lyco.studio.store import Store
from lib_lyco.studio.workplace import Interrupted

_LOOK_AGAIN = 3.0
"""Seconds until it looks again whether another program has ended."""
ENDED = "The program ended while this ran. With Go on it continues from the last save."


class Trains(Protocol):
    """Makes one run, in whatever way its kind wants."""

    def __call__(self, run: LiveRun) -> None:
        """
        Raises:
            Interrupted: It cannot go on now.
            Exception: It failed.
        """
        ...


class Worker:
    """Works on the runs of a store.

    Args:
        store: The runs.
        make: Makes one.
        is_back: Whether the base model of a run that waits for it is loaded again.
    """

    def __init__(self, store: Store, make: Trains, is_back: Callable[[Record], bool]) -> None:
        self._store = store
        self._make = make
        self._is_back = is_back
        self._ownership = Ownership(store.folder)
        self._wake = threading.Condition()
        self._closing = self._goes_on = False
        self._thread: threading.Thread | None = None
        self._live: LiveRun | None = None
        self.standstill = threading.RLock()
        """Whoever holds it sees no run end meanwhile."""

    def start(self) -> None:
        """Begins to work, in a thread of its own."""
        self._own()
        self._thread = threading.Thread(target=self._work, name="lyco-train", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Has it look at the queue."""
        with self._wake:
            self._wake.notify_all()

    def close(self, goes_on: bool, patience: float = 60.0) -> None:
        """Ends it: a run saves where it is, as far as it can.

        Args:
            goes_on: Whether the run goes on by itself when somebody begins to work again.
            patience: Seconds for the step that is being made.
        """
        with self._wake:
            self._closing, self._goes_on = True, goes_on
            self._wake.notify_all()
        if live := self.live:
            live.control.leave(ENDED)
        if self._thread:
            self._thread.join(patience)

    @property
    def live(self) -> LiveRun | None:
        """The run that is worked on."""
        with self.standstill:
            return self._live

    @property
    def elsewhere(self) -> str:
        """Why nothing is worked on here: another program does; else ""."""
        if self._ownership.held or self._thread is None:
            return ""
        owner = self._ownership.owner()
        which = f" (process {owner})" if owner else ""
        return f"Another program{which} works on the runs of this data folder. Use it there, or end it."

    def _work(self) -> None:
        while not self._closing:
            record = self._next()
            if record:
                self._one(record)
            else:
                with self._wake:
                    if not self._closing:
                        self._wake.wait(_LOOK_AGAIN)
        self._ownership.give()

    def _next(self) -> Record | None:
        if not self._ownership.held and not self._own():
            return None
        order = [record.id for record in self._returned()] + self._store.order()
        return self._store.record(order[0]) if order else None

    def _returned(self) -> list[Record]:
        """The runs that have waited for their base model and need not any more, the oldest first."""
        waiting = [record for record in reversed(self._store.records()) if _is_waiting(record)]
        return [record for record in waiting if self._is_back(record)]

    def _own(self) -> bool:
        """Takes the folder if it is free: what somebody worked on there is worked on by nobody now."""
        if not self._ownership.take():
            return False
        for record in self._store.records():
            if record.state in ACTIVE and not _is_waiting(record):
                over = replace(record, state="interrupted", phase="", eta=None, message=ENDED)
                with suppress(LycoError):
                    self._store.write(over)
        return True

    def _one(self, record: Record) -> None:
        try:
            with self.standstill:
                self._live = run = LiveRun(self._store, record)
        except LycoError:  # discarded just now
            return
        end = self._outcome(run)
        with self.standstill:
            end()
            self._live = None
        if run.discarded:
            with suppress(LycoError):
                remove_run(self._store, run.record)

    def _outcome(self, run: LiveRun) -> Callable[[], None]:
        """Makes the run; what is to be kept of how it ended."""
        try:
            self._make(run)
            return partial(run.end, "stopped" if run.stopped else "finished")
        except Interrupted as interruption:
            return partial(self._left, run, interruption)
        except Exception as error:  # noqa: BLE001  whatever ends a run, the next one has its turn
            return partial(run.fail, error)

    def _left(self, run: LiveRun, interruption: Interrupted) -> None:
        if not self._closing:
            run.change(waits=not interruption.final, loads=False, resumes=_goes_on(run.record))
            run.end("stopped" if interruption.final else "paused", interruption.why)
        elif self._goes_on:
            self._store.set_order([run.record.id, *self._store.order()])
            run.change(resumes=_goes_on(run.record))
            run.end("queued")
        else:
            run.end("interrupted", interruption.why)


def _is_waiting(record: Record) -> bool:
    return record.state == "paused" and record.waits


def _goes_on(record: Record) -> bool:
    """Whether it has a state to go on from."""
    return record.kind == "train" and record.step > 0
