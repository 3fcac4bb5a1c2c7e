"""The comparison of a run's files as a run of its own in the queue: what is asked for, and its making."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lyco.errors import ConfigError
from lib_lyco.files.replacing import replace_file
from lib_lyco.studio.history import read_history
from lib_lyco.studio.judging import Judged, Wish, judged
from lib_lyco.studio.live_run import LiveRun
from lib_lyco.studio.store import Store
from lib_lyco.studio.verdict import FOLDER, own_files
from lib_lyco.studio.workplace import Place

STRENGTHS = (0.6, 0.8, 1.0)
"""Where the user names none."""
_WISH, _PROMPTS = "wish.json", "prompts.txt"


@dataclass(frozen=True)
class Asked:
    """What the user wants compared."""

    strengths: Sequence[float] = STRENGTHS
    prompts: str = ""
    """A line each, in kohya's syntax; "" takes those of the run, else captions."""


def write_asked(run: Path, asked: Asked) -> None:
    """Keeps what is wanted, in the folder of the run whose files are compared.

    Raises:
        FileError: It cannot be written.
    """
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    replace_file(folder / _PROMPTS, asked.prompts.encode("utf-8", "replace"))
    replace_file(folder / _WISH, json.dumps({"strengths": list(asked.strengths)}).encode())


def read_asked(run: Path) -> Asked:
    """What was wanted last; the usual where nothing was, or nobody can read it."""
    try:
        values: Any = json.loads((run / FOLDER / _WISH).read_text(encoding="utf-8"))
        prompts = (run / FOLDER / _PROMPTS).read_text(encoding="utf-8")
        return Asked(tuple(float(one) for one in values["strengths"]), prompts)
    except (OSError, ValueError, TypeError, KeyError):
        return Asked()


def make_wish(store: Store, id: str) -> Wish:
    """What is to be compared for a run.

    Raises:
        ConfigError: The run wrote no file that is still there.
    """
    place, config = store.place(id), store.config(id)
    asked = read_asked(place)
    files = own_files(read_history(place), Path(config.output))
    if not files:
        raise ConfigError(
            "None of this run's files is there any more", got=config.output, remedy="Train it again."
        )
    own = Path(config.sample_prompts) if config.sample_prompts else None
    prompts = place / FOLDER / _PROMPTS if asked.prompts.strip() else own
    return Wish(config, files, asked.strengths, prompts, place / FOLDER)


def judge_run(store: Store, run: LiveRun, place: Place) -> None:
    """Makes a run of the kind `best`.

    Raises:
        Interrupted: It cannot have its turn any more; what was compared is kept.
        LycoError: It cannot be done.
    """
    steps = judged(make_wish(store, run.record.of), place.model, place.draw)
    with closing(steps):
        seconds, total = 0.0, 0
        for told in _in_turns(steps, run, place):
            seconds, total = seconds + run.turn_seconds if told.total == total else 0.0, told.total
            eta = seconds / told.done * (total - told.done) if seconds else None
            run.change(state="training", step=told.done, total=total, phase=told.what, eta=eta)
            if told.verdict and told.done == told.total:
                for problem in told.verdict.problems:
                    run.say("warning", problem)


def _in_turns(steps: Iterator[Judged], run: LiveRun, place: Place) -> Iterator[Judged]:
    """The parts of the work, each in a turn of its own, until it is done or is to stop."""
    while not run.control.stop_requested:
        run.control.demand_stay()
        with place.turn():
            if run.control.standing().pause:
                run.change(state="paused", phase="Paused.")
                run.control.wait(1.0)
            began = time.perf_counter()
            told = next(steps, None)
            run.turn_seconds = time.perf_counter() - began
        if told is None:
            return
        yield told
    run.stopped = True
