"""The training loop: a generator of events.

Nothing in it draws from a global generator: order, noise and initial values are functions of the
seed and of what they are for, so a run is the same with any number of workers.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lib_lyco.errors import LycoError, TrainingError
from lib_lyco.train.data.order import Sample
from lib_lyco.train.events import Caching, Event, Failed, Finished, Saved, SaveReason, Started, Step
from lib_lyco.train.plan import Plan
from lib_lyco.train.save import Saver, epoch_suffix, step_suffix
from lib_lyco.train.seed import derived_generator
from lib_lyco.train.state import State, StateStore
from lib_lyco.train.step import Learning, add_gradients


class Stop:
    """Asks a run to end at its next step; may be used from any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def request(self) -> None:
        """Ends the run: the step being made is finished, what was trained is saved."""
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether the run is to end."""
        return self._event.is_set()


@dataclass(frozen=True)
class Saving:
    """When and how the network is written."""

    saver: Saver
    every_epochs: int = 0
    every_steps: int = 0


@dataclass(frozen=True)
class Run:
    """Everything a run is made of."""

    learning: Learning
    saving: Saving
    states: StateStore
    started_at: float
    """When the run was first started; seconds since 1970."""
    clock: Callable[[], float]
    """Seconds; any origin."""
    resumed: State | None = None
    """Where to go on from; network and optimiser have taken it up already."""

    @property
    def seed(self) -> int:
        """Decides everything that is drawn."""
        return self.learning.seed

    @property
    def plan(self) -> Plan:
        """What the run is to do."""
        return self.learning.plan


class _Progress:
    """Where the run is, and how its loss goes."""

    def __init__(self, run: Run) -> None:
        state = run.resumed
        self.step = state.step if state else 0
        self.losses: deque[float] = deque(state.losses if state else (), run.plan.steps_per_epoch)
        self.loss = self.losses[-1] if self.losses else math.nan
        self.whole = True
        """False while weights and counters may not be of the same step."""
        self.last_saved: Path | None = None
        self._plan = run.plan
        self._clock = run.clock
        self._start = run.clock() - (state.seconds if state else 0.0)

    @property
    def seconds(self) -> float:
        return self._clock() - self._start

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 1; 0 before the first."""
        return -(-self.step // self._plan.steps_per_epoch)

    def made_step(self, loss: float, learning_rates: dict[str, float], updated: bool) -> Step:
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


def run_loop(run: Run, stop: Stop) -> Iterator[Event]:
    """Trains; yields what happens.

    Raises:
        TrainingError: Loss or gradients are not finite. The optimiser has not seen them; the last
            good weights are saved, the event `Failed` says where.
        BaseException: Whatever else ended the run (an interrupt too); what was trained is saved, and a
            state with it, if that is possible.
    """
    progress = _Progress(run)
    yield Started(run.plan, progress.step)
    run.states.remove_leftovers()
    for done, total in run.learning.latents.prepare():
        yield Caching(done, total)
        if stop.requested:
            break
    try:
        yield from _steps(run, stop, progress)
        stopped = progress.step < run.plan.total_steps
        if progress.step > 0:
            suffix = step_suffix(progress.step) if stopped else ""
            yield _saved(run, progress, suffix, "stopped" if stopped else "final")
            _keep_state(run, progress)
    except GeneratorExit:
        raise
    except BaseException as error:
        saved = _rescue(run, progress)
        yield Failed(progress.step, str(error) or type(error).__name__, saved)
        raise
    yield Finished(progress.last_saved, progress.step, progress.loss, progress.seconds, stopped)


def _steps(run: Run, stop: Stop, progress: _Progress) -> Iterator[Event]:
    plan = run.plan
    if progress.step:
        # a kill may have come between a step's first file and its last
        yield from _due_files(run, progress)
    while progress.step < plan.total_steps and not stop.requested:
        epoch, done = divmod(progress.step, plan.steps_per_epoch)
        batches = plan.order.epoch(epoch)[done * plan.accumulation :]
        latents = run.learning.latents.batches(batches)
        for start in range(0, len(batches), plan.accumulation):
            if stop.requested or progress.step == plan.total_steps:
                return
            group = batches[start : start + plan.accumulation]
            yield _step(run, progress, group, [next(latents) for _ in group])
            # all files of a step before its state: whoever resumes from it lacks none of them
            files = list(_due_files(run, progress))
            if files:
                _keep_state(run, progress)
            yield from files


def _due_files(run: Run, progress: _Progress) -> Iterator[Saved]:
    """Writes the intermediate files that belong to the step just done."""
    plan, saving = run.plan, run.saving
    if progress.step == plan.total_steps:
        return
    if saving.every_steps and progress.step % saving.every_steps == 0:
        yield _saved(run, progress, step_suffix(progress.step), "step")
    epoch_done = progress.step % plan.steps_per_epoch == 0
    if epoch_done and saving.every_epochs and progress.epoch % saving.every_epochs == 0:
        yield _saved(run, progress, epoch_suffix(progress.epoch), "epoch")


def _saved(run: Run, progress: _Progress, suffix: str, reason: SaveReason) -> Saved:
    progress.last_saved = run.saving.saver.save(suffix, progress.step, progress.epoch)
    return Saved(progress.last_saved, progress.step, progress.epoch, reason)


def _keep_state(run: Run, progress: _Progress) -> None:
    run.states.save(
        State(
            step=progress.step,
            losses=tuple(progress.losses),
            seconds=progress.seconds,
            started_at=run.started_at,
            network=run.learning.network.state(),
            optimisation=run.learning.optimisation.state(),
        )
    )


def _rescue(run: Run, progress: _Progress) -> Path | None:
    """Saves the last good weights and, if no update was cut short, the state with them.

    Returns:
        The network file; None if nothing is trained yet, or it cannot be saved either.
    """
    if progress.step == 0:
        return None
    try:
        saved = run.saving.saver.save(step_suffix(progress.step), progress.step, progress.epoch)
        if progress.whole:
            _keep_state(run, progress)
    except (LycoError, RuntimeError, OSError, MemoryError):
        return None
    return saved


def _step(
    run: Run, progress: _Progress, group: Sequence[Sequence[Sample]], latents: Sequence[torch.Tensor]
) -> Step:
    """One update from the micro-batches of a group, each sample counting the same."""
    count = sum(len(batch) for batch in group)
    run.learning.network.begin_step(derived_generator("step", run.seed, progress.step))
    loss = 0.0
    try:
        for samples, encoded in zip(group, latents, strict=True):
            loss += add_gradients(run.learning, samples, encoded, count)
            if not math.isfinite(loss):
                raise _not_finite("loss", loss, progress, run, group)
        rates = run.learning.optimisation.learning_rates(progress.step)
        progress.whole = False  # an interrupt in here leaves some weights updated and others not
        updated = run.learning.optimisation.step(progress.step)
        if not updated and not run.learning.optimisation.tolerates_overflow:
            progress.whole = True
            raise _not_finite("gradient", math.nan, progress, run, group)
    finally:
        run.learning.network.end_step()
    return progress.made_step(loss, rates, updated)


def _not_finite(
    what: str, value: float, progress: _Progress, run: Run, group: Sequence[Sequence[Sample]]
) -> TrainingError:
    names = sorted({run.plan.records[sample.image].path.name for batch in group for sample in batch})
    return TrainingError(
        f"The {what} is not finite any more; the weights from before this step are kept.",
        where=f"step {progress.step + 1}, images {', '.join(names[:4])}",
        got=str(value),
        expected="a finite number",
        remedy="Lower the learning rate, or train in bf16 or fp32.",
    )
