"""What is asked of a run from outside: stop, pause, save now, draw now."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    """What is wanted at one moment."""

    stop: bool = False
    pause: bool = False
    save: bool = False
    sample: bool = False


class Control:
    """The handle of a run; every method may be called from any thread, also before the run begins.

    A run looks at it between two steps, and while it is paused.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._stop = self._paused = self._save = self._sample = False

    def stop(self) -> None:
        """Ends the run: the step being made is finished, what was trained is saved."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()

    def pause(self) -> None:
        """Halts the run and takes it off the device, until `resume` or `stop`."""
        with self._changed:
            self._paused = True
            self._changed.notify_all()

    def resume(self) -> None:
        """Lets a paused run go on; one that waits for room on the disk looks again at once."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def save(self) -> None:
        """Has the network and a state saved after this step."""
        with self._changed:
            self._save = True
            self._changed.notify_all()

    def sample(self) -> None:
        """Has the sample prompts drawn after this step."""
        with self._changed:
            self._sample = True
            self._changed.notify_all()

    @property
    def stop_requested(self) -> bool:
        """Whether the run is to end."""
        return self._stop

    def standing(self) -> Asked:
        """What lasts: stop and pause."""
        with self._changed:
            return Asked(stop=self._stop, pause=self._paused)

    def take(self) -> Asked:
        """Everything wanted now; `save` and `sample` are wanted once."""
        with self._changed:
            asked = Asked(self._stop, self._paused, self._save, self._sample)
            self._save = self._sample = False
            return asked

    def wait(self, seconds: float) -> None:
        """Returns after that time, or as soon as anything is asked."""
        with self._changed:
            if not self._stop:
                self._changed.wait(seconds)
