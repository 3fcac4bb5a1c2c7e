"""`lyco train`: a config file and flags become a run, its events become lines and a bar."""

from __future__ import annotations

import argparse
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from lib_lyco.demo.embedded import checkpoint
from lib_lyco.entry.command_file import WORDS, commanded
from lib_lyco.entry.device import add_device_flag, pick_device
from lib_lyco.entry.drawing import draw
from lib_lyco.entry.terminal import complain, progress_bar, say
from lib_lyco.entry.training_input import add_training_input, read_training_input
from lib_lyco.models.load import load_model
from lib_lyco.train.control import Control
from lib_lyco.train.events import (
    Caching,
    Eased,
    Event,
    Failed,
    Finished,
    NotSampled,
    Paused,
    Recovered,
    Resumed,
    Sampled,
    Saved,
    Started,
    Step,
    Validated,
)
from lib_lyco.train.launch import Place, launched_place, own_device, wants_cpu
from lib_lyco.train.precision import DTYPES, choose_precision
from lib_lyco.train.run import train
from lib_lyco.train.world import joined_world

_SAME_INTERRUPT = 3.0
"""Seconds."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the config file and one flag per training option."""
    add_training_input(parser)
    add_device_flag(parser)


def run(arguments: argparse.Namespace) -> None:
    """Trains, and shows it; Ctrl-C ends the run at the next step and keeps what it has."""
    config = read_training_input(arguments)
    place = launched_place()
    device = own_device(pick_device(arguments.device or ("cpu" if wants_cpu() else "")), place)
    dtype = DTYPES[choose_precision(config.precision, device)]
    model = load_model(config.base_model or checkpoint(), device, dtype, vae=config.vae or None)
    control = Control()
    with stopping_on_interrupt(control, place), joined_world(device, place) as world:
        events = train(config, model, control, draw=draw, world=world)
        if world.writes:
            commands = Path(config.output) / f"{config.name}.command"
            say(f"To control the run, write {', '.join(WORDS)} into {commands}")
            with commanded(control, commands):
                show(events)
        else:
            deque(events, maxlen=0)


@contextmanager
def stopping_on_interrupt(
    control: Control, place: Place | None = None, clock: Callable[[], float] = time.monotonic
) -> Generator[None]:
    """Makes the first Ctrl-C or SIGTERM a request to stop; the second one acts as usual.

    Args:
        control: Of the run.
        place: This process among several; alone if it is not given.
        clock: Seconds. A launcher hands on a Ctrl-C that the terminal has sent to each process already:
            what comes again so soon is the same one.
    """
    place, asked_at = place or Place(), dict[int, float]()

    def request(number: int, _frame: FrameType | None) -> None:
        if not asked_at and place.rank == 0:
            complain("Stopping after this step; what is trained is saved. Ctrl-C again to stop at once.")
        control.stop()
        first = asked_at.setdefault(number, clock())
        if place.size == 1:
            signal.signal(number, previous[signal.Signals(number)])
        elif clock() - first > _SAME_INTERRUPT:
            signal.signal(number, previous[signal.Signals(number)])
            signal.raise_signal(number)

    previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def show(events: Iterable[Event]) -> None:
    """Shows a run: the plan, a bar over its steps, each file."""
    with progress_bar(0, "prepare", "step") as bar:
        for event in events:
            if isinstance(event, Step):
                bar.set_description("train", refresh=False)
                bar.set_postfix(epoch=event.epoch, loss=f"{event.average_loss:.4f}", refresh=False)
                bar.update(event.step - bar.n)
            elif isinstance(event, Caching):
                bar.set_description(f"encode {event.what} {event.done}/{event.total}")
            elif isinstance(event, Started):
                bar.reset(event.plan.total_steps)
                say(str(event.plan))
                for note in event.plan.notes:
                    say(f"note: {note}")
            else:
                say(describe(event))


def describe(event: Event) -> str:
    """One line for an event that is no progress."""
    if isinstance(event, Saved):
        return f"saved {event.path} (epoch {event.epoch}, step {event.step}, {event.reason})"
    if isinstance(event, Sampled):
        network = "" if event.with_network else ", without the network"
        return f"drew {event.path} (step {event.step}{network}): {event.prompt}"
    if isinstance(event, NotSampled):
        return f"no sample pictures at step {event.step}: {event.message}"
    if isinstance(event, Validated):
        return f"validation loss {event.loss:.4f} (epoch {event.epoch}, step {event.step})"
    if isinstance(event, Paused):
        return f"paused at step {event.step}: {event.reason} {event.remedy}"
    if isinstance(event, Resumed):
        return f"going on at step {event.step}"
    if isinstance(event, Eased):
        return f"too little memory to encode {event.what}: {event.trouble} From here on: {event.change}."
    if isinstance(event, Recovered):
        images = ", ".join(event.images)
        return (
            f"step {event.step} could not be made ({images}): {event.trouble} "
            f"Back at step {event.back_to}; from here on: {event.change}."
        )
    return _describe_end(event)


def _describe_end(event: Event) -> str:
    if isinstance(event, Failed):
        kept = f"kept {event.saved}" if event.saved else "nothing to keep"
        return f"failed at step {event.step}; {kept}"
    if isinstance(event, Finished):
        verb = "stopped" if event.stopped else "finished"
        figures = f"loss {event.loss:.4f}, {event.seconds:.0f} s"
        return f"{verb} at step {event.step}: {figures}, {event.path or 'no file'}"
    return str(event)
