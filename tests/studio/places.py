"""A place for runs on the tiny model, whose turns a test can take away, and the runs of a folder on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lib_lyco.models.base import BaseModel
from lib_lyco.studio.record import Record
from lib_lyco.studio.runs import Runs
from lib_lyco.studio.workplace import Base, Interrupted, Memory, waiting
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.preview import Draw
from lib_lyco.train.sample_prompts import Picture
from tests.train.tiny import TinyModel

PATIENCE = 120.0


def paint(model: BaseModel, picture: Picture, network: Path | None, to: Path) -> None:
    """Draws nothing; a file is there."""
    del model, picture, network
    to.write_bytes(b"\x89PNG\r\n\x1a\n")


class TinyPlace:
    """Gives turns, unless it is told not to."""

    def __init__(self, provider: TinyProvider) -> None:
        self.model = TinyModel()
        self.draw: Draw | None = paint
        self._provider = provider

    @contextmanager
    def turn(self) -> Generator[None]:
        provider = self._provider
        provider.before_turn()
        if provider.refusal:
            raise provider.refusal
        provider.inside = True
        try:
            yield
        finally:
            provider.inside = False

    @contextmanager
    def aside(self) -> Generator[None]:
        provider = self._provider
        assert provider.inside
        provider.asides += 1
        provider.inside = False
        try:
            yield
        finally:
            provider.inside = True


class TinyProvider:
    """Opens places on the tiny model."""

    def __init__(self) -> None:
        self.refusal: Interrupted | None = None
        """What the next turn ends with."""
        self.inside = False
        """Whether a run has its turn just now."""
        self.asides = 0
        """How often a run has given it back."""
        self.before_turn: Callable[[], None] = lambda: None
        self.title = "tiny"
        self.opened: list[str] = []
        """`base_model` of each run."""
        self.problem: Exception | None = None
        """What the next opening ends with."""

    def bases(self) -> Sequence[Base]:
        return (Base("", self.title, "sd1", None), Base("bad", "bad", None, None, "It is broken."))

    def memory(self) -> Memory | None:
        return Memory(1, 2)

    def lose(self, why: str) -> None:
        """Has another base model loaded."""
        self.refusal = Interrupted(waiting(self.title, why))
        self.title = "huge"

    def find(self) -> None:
        """Has the first one loaded again."""
        self.refusal, self.title = None, "tiny"

    @contextmanager
    def open(self, config: TrainConfig) -> Generator[TinyPlace]:
        self.opened.append(config.base_model)
        if config.base_model:
            self.find()
        if self.problem:
            problem, self.problem = self.problem, None
            raise problem
        yield TinyPlace(self)


def wait_for(runs: Runs, id: str, *states: str, step: int = 0) -> Record:
    """The run, as soon as it has one of the states, and made so many steps."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        record = runs.record(id)
        if record.state in states and record.step >= step:
            return record
        time.sleep(0.01)
    raise TimeoutError(f"waited for {states}, it is {runs.record(id)}")


class Gate:
    """Lets a run make so many turns, then holds it until it is opened."""

    def __init__(self, runs: Runs, provider: TinyProvider) -> None:
        self._runs = runs
        self._step = -1
        provider.before_turn = self._hold

    def at(self, step: int) -> None:
        """Holds the run once that step is done."""
        self._step = step

    def open(self) -> None:
        """Holds nothing any more."""
        self._step = -1

    def _hold(self) -> None:
        until = time.monotonic() + PATIENCE
        while self._holds() and time.monotonic() < until:
            time.sleep(0.005)

    def _holds(self) -> bool:
        live = self._runs.worker.live
        return live is not None and self._step >= 0 and live.record.step >= self._step
