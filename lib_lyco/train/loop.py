"""The training loop: a generator of events.

Nothing in it draws from a global generator: order, noise and initial values are functions of the
seed and of what they are for, so a run is the same with any number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from torch import nn

from lib_lyco.errors import TrainingError
from lib_lyco.train.control import Asked, Control
from lib_lyco.train.data.latent import Encoded
from lib_lyco.train.data.order import Sample
from lib_lyco.train.events import (
    Event,
    Failed,
    Finished,
    Paused,
    Recovered,
    Resumed,
    Started,
    Step,
    Validated,
)
from lib_lyco.train.memory import set_aside
from lib_lyco.train.plan import Plan
from lib_lyco.train.preparation import Preparation
from lib_lyco.train.preview import Previews
from lib_lyco.train.progress import Progress
from lib_lyco.train.recovery import OUT_OF_MEMORY, Recovery, Trouble, changed
from lib_lyco.train.seed import derived_generator
from lib_lyco.train.state import State
from lib_lyco.train.step import Learning, add_gradients
from lib_lyco.train.validation import Validation
from lib_lyco.train.world import World
from lib_lyco.train.writer import Present, Saving, Writer

MicroBatches = Iterable[tuple[Sequence[Sample], Encoded]]
"""What a process has of a step: samples and their latents, which are read when it is their turn."""


@dataclass(frozen=True)
class Run:
    """Everything a run is made of."""

    learning: Learning
    saving: Saving
    started_at: float
    """When the run was first started; seconds since 1970."""
    clock: Callable[[], float]
    """Seconds; any origin."""
    resumed: State | None = None
    """Where to go on from; network, optimiser and average have taken it up already."""
    world: World = World()
    validation: Validation | None = None
    previews: Previews | None = None
    recovery: Recovery = Recovery()

    @property
    def seed(self) -> int:
        """Decides everything that is drawn."""
        return self.learning.seed

    @property
    def plan(self) -> Plan:
        """What the run is to do."""
        return self.learning.plan


def run_loop(run: Run, control: Control) -> Iterator[Event]:
    """Trains; yields what happens.

    Raises:
        TrainingError: Loss or gradients are not finite. The optimiser has not seen them; the last
            good weights are saved, the event `Failed` says where.
        BaseException: Whatever else ended the run (an interrupt too); what was trained is saved, and a
            state with it, if that is possible.
    """
    return _Loop(run, control).events()


class _Unmade(Exception):
    """A step that could not be made."""

    def __init__(self, trouble: Trouble, what: str) -> None:
        super().__init__(what)
        self.trouble: Trouble = trouble
        self.what = what


class _NoRoom(Exception):
    """There is not enough memory to encode the images of a step."""


class _Loop:
    def __init__(self, run: Run, control: Control) -> None:
        self._run = run
        self._control = control
        self._progress = Progress(run.plan, run.clock, run.resumed)
        self._learning = changed(run.learning, self._progress.changes)
        self._writer = Writer(
            saving=run.saving,
            learning=run.learning,
            progress=self._progress,
            control=control,
            started_at=run.started_at,
            active=run.world.writes,
        )
        self._preparation = Preparation(
            run.validation, run.recovery, run.world, self._writer, self._progress, control
        )
        self._stopping = False
        self._first = self._writer.snapshot()

    def events(self) -> Iterator[Event]:
        run, progress, writer = self._run, self._progress, self._writer
        yield Started(run.plan, progress.step)
        if run.world.writes:
            run.saving.states.remove_leftovers()
        yield from self._preparation.events(self._learning)
        try:
            with (
                self._preparation.texts_aside(self._learning),
                self._learning.presence.holding(Present(writer.write_now)),
            ):
                yield from self._steps()
            if progress.step > 0:
                yield from writer.last()
        except GeneratorExit:
            raise
        except BaseException as error:
            saved = writer.rescue()
            yield Failed(progress.step, str(error) or type(error).__name__, saved)
            raise
        yield Finished(writer.last_saved, progress.step, progress.loss, progress.seconds, not progress.over)

    def _steps(self) -> Iterator[Event]:
        if self._progress.step:
            # a kill may have come between a step's first file and its last
            yield from self._writer.due()
        else:
            yield from self._look()
        while not self._progress.over and not self._stopping:
            yield from self._epoch()

    def _epoch(self) -> Iterator[Event]:
        """The steps that are left of an epoch, or those until the run goes back."""
        run, progress, plan = self._run, self._progress, self._run.plan
        epoch, done = plan.position(progress.step)
        batches = plan.order.epoch(epoch)[done * plan.accumulation :]
        # each twice, and only when it is its turn: an epoch may have millions of samples
        ahead = (share for batch in batches if (share := run.world.share(batch)))
        latents = self._learning.latents
        encoded = latents.batches(ahead)
        for start in range(0, len(batches), plan.accumulation):
            yield from self._answer(run.world.agreed(self._control.take()))
            if self._stopping or progress.over:
                return
            group = list(batches[start : start + plan.accumulation])
            mine = ((share, _next(encoded)) for batch in group if (share := run.world.share(batch)))
            before = progress.step
            yield from self._step(group, mine)
            if progress.step <= before:
                return
            yield from self._writer.due()
            yield from self._look()
            if self._learning.latents is not latents:
                return

    def _answer(self, asked: Asked) -> Iterator[Event]:
        """Does what is asked from outside."""
        if asked.pause and not asked.stop:
            stop = yield from self._pause()
            asked = replace(asked, stop=stop)
        if asked.save and self._progress.step:
            yield from self._writer.now()
        if asked.sample:
            yield from self._drawn()
        self._stopping = asked.stop

    def _look(self) -> Iterator[Event]:
        """What is to be seen after the step just done: the validation loss, sample pictures."""
        run, progress = self._run, self._progress
        ended = progress.ended_epoch
        if run.validation and progress.step and run.validation.every.at(progress.step, ended):
            with self._learning.optimisation.averaged():
                loss = run.validation.loss(self._learning, run.world)
            yield Validated(progress.step, progress.epoch, loss)
        if run.previews and run.previews.due(progress.step, ended):
            yield from self._drawn(ended)

    def _drawn(self, ended_epoch: int | None = None) -> Iterator[Event]:
        previews, step = self._run.previews, self._progress.step
        if previews and self._run.world.writes:
            yield from previews.drawn(self._learning, self._writer.write_now, step, ended_epoch)

    def _pause(self) -> Generator[Event, None, bool]:
        """Off the device until it may go on; returns whether it is to stop instead."""
        run, progress = self._run, self._progress
        since = progress.seconds
        yield Paused(progress.step, "The run was asked to pause.", "Let it go on, or stop it.")
        with set_aside(self._learning):
            while True:
                asked = run.world.agreed(self._control.standing())
                if asked.stop or not asked.pause:
                    break
                self._control.wait(1.0)
        progress.leave_out(since)
        yield Resumed(progress.step)
        return asked.stop

    def _step(self, group: Sequence[Sequence[Sample]], mine: MicroBatches) -> Iterator[Event]:
        """One update; or, if that cannot be, what lets the same or an earlier step be made otherwise."""
        latents = self._learning.latents
        try:
            yield self._update(group, mine)
        except _Unmade as unmade:
            yield self._recovered(unmade, group)
        if self._learning.latents is not latents:
            yield from self._preparation.events(self._learning)

    def _update(self, group: Sequence[Sequence[Sample]], mine: MicroBatches) -> Step:
        """One update from a group of micro-batches, each sample counting the same.

        Raises:
            _Unmade: It could not be made; unless `progress.whole` is False, weights are as before.
        """
        learning, progress, world = self._learning, self._progress, self._run.world
        learning.network.begin_step(derived_generator("step", self._run.seed, progress.step))
        learning.optimisation.begin_step(progress.step)
        try:
            loss = self._loss(sum(len(batch) for batch in group), mine)
            world.add_up_gradients(_parameters(learning))
            rates = learning.optimisation.learning_rates(progress.step)
            progress.whole = False  # an interrupt in here leaves some weights updated and others not
            updated = self._updated()
            if not updated and not learning.optimisation.tolerates_overflow:
                progress.whole = True
                raise _Unmade("not finite", "A gradient is not finite.")
            if updated and self._run.saving.average:
                self._run.saving.average.update()
        finally:
            learning.network.end_step()
        return progress.made_step(loss, rates, updated)

    def _loss(self, count: int, mine: MicroBatches) -> float:
        """The loss of a step of that many samples, whose gradients are added to what is there.

        Raises:
            _Unmade: In one of the processes there is not enough memory, or the loss is not finite.
        """
        loss, trouble, what = math.nan, "", ""
        try:
            loss = add_gradients(self._learning, mine, count, self._progress.step)
        except _NoRoom as error:
            trouble, what = "encoding", str(error)
        except OUT_OF_MEMORY as error:
            trouble, what = "memory", str(error) or type(error).__name__
        loss, encoding, memory = self._run.world.sums(
            loss, float(trouble == "encoding"), float(trouble == "memory")
        )
        if encoding or memory:
            raise _Unmade("encoding" if encoding else "memory", what)
        if not math.isfinite(loss):
            raise _Unmade("not finite", f"The loss is {loss}.")
        return loss

    def _updated(self) -> bool:
        """The optimiser's update; False if a gradient is not finite and it has not seen it.

        Raises:
            _Unmade: There is not enough memory for it; some weights may be updated and others not.
        """
        short, updated = "", True
        try:
            updated = self._learning.optimisation.step(self._progress.step)
        except OUT_OF_MEMORY as error:
            short = str(error) or type(error).__name__
        (any_short,) = self._run.world.sums(float(bool(short)))
        if any_short:
            raise _Unmade("memory", short)
        return updated

    def _recovered(self, unmade: _Unmade, group: Sequence[Sequence[Sample]]) -> Recovered:
        """Goes back to the last good weights and makes the next change that may help.

        Raises:
            TrainingError: There is none left.
        """
        progress, failed_at = self._progress, self._progress.step + 1
        images = {self._run.plan.records[sample.image].path.name for batch in group for sample in batch}
        names = tuple(sorted(images))
        largest = max(len(batch) for batch in group)
        change = self._run.recovery.change(unmade.trouble, self._learning, largest)
        if change is None:
            raise _unmade_error(unmade, failed_at, names)
        self._back_to_good_weights()
        change = replace(change, step=progress.step + 1)
        progress.changes += (change,)
        self._learning = changed(self._learning, [change])
        return Recovered(failed_at, unmade.what, names, progress.step, str(change))

    def _back_to_good_weights(self) -> None:
        """Puts network and optimiser on the last step on record whose weights are whole and finite; it may
        be the one before the first."""
        learning, progress = self._learning, self._progress
        for parameter in _parameters(learning):
            parameter.grad = None
        if progress.whole and all(bool(one.isfinite().all()) for one in learning.network.state().values()):
            return
        self._run.world.meet()
        state = self._run.saving.states.newest_since(self._first)
        learning.network.load(state.network)
        learning.optimisation.load(state.optimisation)
        if self._run.saving.average:
            self._run.saving.average.load(state.average)
        progress.go_back_to(state)


def _next(encoded: Iterator[Encoded]) -> Encoded:
    """The latents of the next batch.

    Raises:
        _NoRoom: There is not enough memory to encode them.
    """
    try:
        return next(encoded)
    except OUT_OF_MEMORY as error:
        raise _NoRoom(str(error) or type(error).__name__) from error


def _parameters(learning: Learning) -> list[nn.Parameter]:
    return [parameter for layer in learning.network for parameter in layer.parameters]


def _unmade_error(unmade: _Unmade, step: int, images: Sequence[str]) -> TrainingError:
    where = f"step {step}, images {', '.join(images[:4])}"
    if unmade.trouble != "not finite":
        return TrainingError(
            "There is not enough memory for a step.",
            where=where,
            got=unmade.what,
            remedy="Train with gradient_checkpointing, or a smaller batch_size or resolution.",
        )
    return TrainingError(
        "A number is not finite any more; the weights from before this step are kept.",
        where=where,
        got=unmade.what,
        expected="finite numbers",
        remedy="Lower the learning rate, or train in bf16 or fp32.",
    )
