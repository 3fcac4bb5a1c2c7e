"""What a run writes while it goes: numbered files, the last one, states; it waits where it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from lib_lyco.errors import FileError, LycoError
from lib_lyco.train.average import Average
from lib_lyco.train.control import Control
from lib_lyco.train.events import Event, Paused, Resumed, Saved, SaveReason
from lib_lyco.train.progress import Progress
from lib_lyco.train.save import Saver, epoch_suffix, step_suffix
from lib_lyco.train.save_rules import Due, Last, SaveRules
from lib_lyco.train.state import State, StateStore
from lib_lyco.train.step import Learning
from lib_lyco.train.tree import flattened, rebuilt

LOOK_AGAIN = 5.0
"""Seconds between two tries to write what could not be written."""
CHANGES_KEY = "lyco_changes"
"""In a file's metadata: what the run did otherwise than its config says, and from which step on."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Saving:
    """When and how network and states are written."""

    saver: Saver
    states: StateStore
    rules: SaveRules = SaveRules()
    states_last: Last = Last()
    """Which numbered states stay, where all are kept."""
    average: Average | None = None
    """The moving average of the weights."""
    average_beside: bool = True
    """Whether the average has a file of its own; else it is written instead of the last weights."""


@dataclass(frozen=True)
class Present:
    """The network of a run as a file of this moment would hold it; by it, whoever draws pictures while the
    run goes finds the network. On the base model it is nothing."""

    write: Callable[[Path], None]

    def put_on(self) -> None:
        """Does nothing."""

    def take_off(self) -> None:
        """Does nothing."""


@dataclass
class Writer:
    """Writes for a run; a process that is not the first of several writes nothing."""

    saving: Saving
    learning: Learning
    progress: Progress
    control: Control
    started_at: float
    active: bool = True
    last_saved: Path | None = field(default=None, init=False)

    def due(self) -> Iterator[Event]:
        """Writes the files that belong to the step just done, then a state, then removes older ones."""
        if self.progress.over:
            return
        dues = list(self.saving.rules.due(self.progress.step, self.progress.ended_epoch))
        saved: list[Event] = []
        for due in dues:
            saved += yield from self.save(_suffix(due), due.reason)
        # all files of a step before its state: whoever resumes from it lacks none of them
        if saved:
            yield from self.keep_state()
        yield from saved
        for due in dues:
            self._remove_older(due)

    def now(self) -> Iterator[Event]:
        """Writes a file because it is asked for, and a state."""
        saved = yield from self.save(step_suffix(self.progress.step), "asked")
        yield from self.keep_state()
        yield from saved

    def last(self) -> Iterator[Event]:
        """Writes the file at the end of a run, and a state."""
        over = self.progress.over
        suffix = "" if over else step_suffix(self.progress.step)
        yield from (yield from self.save(suffix, "final" if over else "stopped"))
        yield from self.keep_state(end=True)

    def save(self, suffix: str, reason: SaveReason) -> Generator[Event, None, list[Event]]:
        """Writes a file and returns what is to be told of it; yields where it has to wait."""
        if not self.active:
            return []
        self.last_saved = yield from self.patiently(lambda: self._write(suffix))
        return [Saved(self.last_saved, self.progress.step, self.progress.epoch, reason)]

    def keep_state(self, end: bool = False) -> Iterator[Event]:
        """Writes a state, if states are kept."""
        if self.active:
            state = self._state()
            yield from self.patiently(lambda: self.saving.states.save(state, end))

    def rescue(self) -> Path | None:
        """Saves the last good weights and, if no update was cut short, the state with them.

        Returns:
            The network file; None if nothing is trained yet, or it cannot be saved either.
        """
        if self.progress.step == 0 or not self.active:
            return None
        saved = None
        # the state also where no file can be made of it: its base model may be gone
        with suppress(LycoError, RuntimeError, OSError, MemoryError):
            saved = self._write(step_suffix(self.progress.step))
        with suppress(LycoError, RuntimeError, OSError, MemoryError):
            if self.progress.whole:
                self.saving.states.save(self._state(), end=True)
        return saved

    def patiently(self, write: Callable[[], _T]) -> Generator[Event, None, _T]:
        """Writes; where the disk is full or the folder gone, waits until it is possible.

        Raises:
            FileError: It is not possible, and the run was asked to stop.
        """
        since, told = self.progress.seconds, False
        while True:
            try:
                result = write()
                break
            except FileError as error:
                if self.control.stop_requested:
                    raise
                if not told:
                    told = True
                    yield Paused(self.progress.step, f"{error.what} ({error.where})", _remedy(error))
                self.control.wait(LOOK_AGAIN)
        if told:
            self.progress.leave_out(since)
            yield Resumed(self.progress.step)
        return result

    def _write(self, suffix: str) -> Path:
        saving, average = self.saving, self.saving.average
        changes = [(change.step, str(change)) for change in self.progress.changes]
        notes = {CHANGES_KEY: json.dumps(changes)} if changes else {}
        where = suffix, self.progress.step, self.progress.epoch, notes
        with self._as_saved():
            path = saving.saver.save(*where)
        if average and saving.average_beside:
            with average.applied():
                saving.saver.beside.save(*where)
        return path

    def write_now(self, path: Path) -> None:
        """Writes what a file would hold, for pictures of it.

        Raises:
            FileError: It cannot be written.
        """
        with self._as_saved():
            self.saving.saver.write_unchecked(path)

    def _as_saved(self) -> AbstractContextManager[object]:
        """Within it, the network has the weights that are saved."""
        average = self.saving.average
        if average and not self.saving.average_beside:
            return average.applied()
        return self.learning.optimisation.averaged()

    def _state(self) -> State:
        progress, average = self.progress, self.saving.average
        return State(
            step=progress.step,
            losses=tuple(progress.losses),
            seconds=progress.seconds,
            started_at=self.started_at,
            network=self.learning.network.state(),
            optimisation=self.learning.optimisation.state(),
            average=average.state() if average else {},
            changes=progress.changes,
        )

    def snapshot(self) -> State:
        """The state as it is now, whatever becomes of the weights; it lies on the CPU."""
        state = self._state()
        tree, tensors = flattened(state.optimisation, "")
        return replace(
            state,
            network=_copied(state.network),
            optimisation=rebuilt(tree, _copied(tensors)),
            average=_copied(state.average),
        )

    def _remove_older(self, due: Due) -> None:
        if not self.active:
            return
        rules, saving = self.saving.rules, self.saving
        file = rules.obsolete(due)
        if file is not None:
            saving.saver.remove(_suffix(file))
            saving.saver.beside.remove(_suffix(file))
        state = rules.obsolete(due, saving.states_last)
        if state is not None:
            ends = self.learning.plan.epoch_ends
            saving.states.remove(ends[state.number - 1] if state.reason == "epoch" else state.number)


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


def _suffix(due: Due) -> str:
    return epoch_suffix(due.number) if due.reason == "epoch" else step_suffix(due.number)


def _remedy(error: FileError) -> str:
    cause = "; ".join(text for text in (error.got, error.remedy) if text)
    return f"{cause} The run goes on by itself as soon as it can write."
