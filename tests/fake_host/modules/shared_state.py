"""What the host is doing now, and what the user asked it to do."""

from __future__ import annotations


class State:
    """One job."""

    def __init__(self) -> None:
        self.server_command: str | None = None
        self.begin()
        self.job_count = 0

    def begin(self, job: str = "(unknown)") -> None:
        """A job starts."""
        self.job = job
        self.job_no = 0
        self.job_count = -1
        self.sampling_step = 0
        self.sampling_steps = 0
        self.interrupted = False
        self.skipped = False
        self.stopping_generation = False
        self.textinfo: str | None = None

    def end(self) -> None:
        """A job is over. Not called when it raised."""
        self.job = ""
        self.job_count = 0

    def nextjob(self) -> None:
        """A picture is done."""
        self.job_no += 1
        self.sampling_step = 0

    def interrupt(self) -> None:
        """Stop now."""
        self.interrupted = True

    def stop_generating(self) -> None:
        """Stop after this picture."""
        self.stopping_generation = True

    def request_restart(self) -> None:
        """Reload UI."""
        self.interrupt()
        self.server_command = "restart"
