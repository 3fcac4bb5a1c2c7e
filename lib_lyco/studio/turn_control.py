"""What is asked of a run, where waiting means to let others in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from lib_lyco.studio.workplace import Interrupted
from lib_lyco.train.control import Control


class TurnControl(Control):
    """A run's handle that gives base model and device back while the run waits.

    Others would move a base model for each moment that they get it: a paused run gives it back once, until
    something is asked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.aside: Callable[[], AbstractContextManager[None]] = nullcontext
        """The place's, once there is one."""
        self._leaving: Interrupted | None = None

    def leave(self, why: str) -> None:
        """Ends the run at once, where it is; what is trained is saved."""
        with self._changed:
            self._leaving = Interrupted(why, final=True)
            self._changed.notify_all()

    def demand_stay(self) -> None:
        """Demands that the run may go on.

        Raises:
            Interrupted: It is to leave.
        """
        if self._leaving:
            raise self._leaving

    def wait(self, seconds: float) -> None:
        """Returns after that time, or, where the run is paused, when it may go on or is to stop.

        Raises:
            Interrupted: It is to leave.
        """
        with self.aside():
            self._wait_once(seconds)
            while (asked := self.standing()).pause and not asked.stop and not self._leaving:
                self._wait_once(seconds)
        self.demand_stay()

    def _wait_once(self, seconds: float) -> None:
        with self._changed:
            if not (self._stop or self._leaving):
                self._changed.wait(seconds)
