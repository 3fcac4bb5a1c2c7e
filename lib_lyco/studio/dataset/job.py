"""One long task at a time, with its progress, that can be stopped."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from threading import Lock, Thread
from typing import Any

from lib_lyco.errors import DataError, LycoError, one_line

_SHOWN = 50
"""Notes."""


class Job:
    """A task on its own thread.

    Args:
        kind: What it does.
        total: How many pictures it looks at.
    """

    def __init__(self, kind: str, total: int) -> None:
        self.id = secrets.token_hex(6)
        self.kind = kind
        self.total = total
        self.done = 0
        self.notes: list[str] = []
        """What the user should know: pictures that were left out, ..."""
        self.result: Mapping[str, Any] = {}
        self.problem = ""
        """Why it failed."""
        self._stopped = False
        self._thread: Thread | None = None

    def start(self, work: Callable[[Job], Mapping[str, Any]]) -> None:
        """Begins; what `work` gives back is the result."""
        self._thread = Thread(target=self._run, args=(work,), name=f"lyco {self.kind}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Asks it to end after the picture that it is at."""
        self._stopped = True

    def wait(self, seconds: float) -> None:
        """Until it has ended."""
        if self._thread is not None:
            self._thread.join(seconds)

    def goes_on(self, done: int) -> bool:
        """Notes the progress; whether there shall be more."""
        self.done = done
        return not self._stopped

    @property
    def state(self) -> str:
        """running, failed, stopped or finished: of the thread itself, not of a note about it."""
        if self._thread is not None and self._thread.is_alive():
            return "running"
        return "failed" if self.problem else "stopped" if self._stopped else "finished"

    def json(self) -> dict[str, Any]:
        """For the page."""
        shown = {name: getattr(self, name) for name in ("id", "kind", "total", "done", "problem", "state")}
        return {**shown, "notes": self.notes[:_SHOWN], "result": self.result}

    def _run(self, work: Callable[[Job], Mapping[str, Any]]) -> None:
        try:
            self.result = work(self)
        except LycoError as error:
            self.problem = one_line(error)
        # a model's or a driver's own error: the page shows it, nobody else would
        except Exception as error:  # noqa: BLE001
            self.problem = f"{type(error).__name__}: {error}"


class Jobs:
    """The last job; a second one has to wait for it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: Job | None = None

    @property
    def last(self) -> Job | None:
        """The job that is running, or was the last."""
        return self._last

    def start(self, job: Job, work: Callable[[Job], Mapping[str, Any]]) -> Job:
        """Begins a job.

        Raises:
            DataError: Another one is running.
        """
        with self._lock:
            if self._last is not None and self._last.state == "running":
                raise DataError(
                    "Pictures are being looked at already.",
                    got=f"{self._last.done} of {self._last.total} done",
                    remedy="Wait for that, or stop it.",
                )
            self._last = job
            job.start(work)
        return job
