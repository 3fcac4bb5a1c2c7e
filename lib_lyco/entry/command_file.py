"""Control of a run from another terminal: a word written into a file beside its output."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lib_lyco.entry.terminal import complain
from lib_lyco.train.control import Control

WORDS = ("stop", "pause", "resume", "save", "sample")
_LOOK_EVERY = 0.5
"""Seconds."""


@contextmanager
def commanded(control: Control, path: Path) -> Generator[None]:
    """Within it, a word of `WORDS` in the file does what it says; the file is removed once it is read."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_EVERY):
            obey(control, path)

    thread = threading.Thread(target=watch, name="commands", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def obey(control: Control, path: Path) -> None:
    """Does what the file says, if it is there and says anything yet."""
    actions: Mapping[str, Callable[[], None]] = {
        "stop": control.stop,
        "pause": control.pause,
        "resume": control.resume,
        "save": control.save,
        "sample": control.sample,
    }
    try:
        words = path.read_text(encoding="utf-8", errors="replace").lower().split()
        if not words:
            return
        path.unlink()
    except OSError:  # not there, or still held by who writes it: the next look will tell
        return
    for word in words:
        if word in actions:
            actions[word]()
        else:
            complain(f"{path}: there is no command {word}; there are {', '.join(WORDS)}.")
