"""Only one program works on the runs of a folder: the one that holds its lock file.

The lock is the system's own, which is gone with its program however that ended: no stale file can keep
anybody out.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

_FAR = 1 << 20
"""Bytes: behind everything that is written."""


class Ownership:
    """The right to work on a folder.

    Args:
        folder: The runs'.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "owner"
        self._file: IO[str] | None = None

    @property
    def held(self) -> bool:
        """Whether it is ours."""
        return self._file is not None

    def take(self) -> bool:
        """Takes it if it is free; returns whether it is ours."""
        if self._file:
            return True
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = open(self._path, "a+", encoding="utf-8")  # noqa: SIM115  held as long as it is ours
        except OSError:
            return False
        try:
            _locked()(file)
        except OSError:
            file.close()
            return False
        with suppress(OSError):  # its number is only for people
            file.truncate(0)
            file.write(f"{os.getpid()}")
            file.flush()
        self._file = file
        return True

    def give(self) -> None:
        """Gives it back."""
        if self._file:
            self._file.close()
            self._file = None

    def owner(self) -> str:
        """The number of the process that holds it, as far as that can be read."""
        with suppress(OSError):
            return self._path.read_text(encoding="utf-8").strip()
        return ""


def _locked() -> Callable[[IO[str]], None]:
    """Locks an open file, or raises OSError."""
    if sys.platform == "win32":
        windows: Any = importlib.import_module("msvcrt")

        def lock(file: IO[str]) -> None:
            os.lseek(file.fileno(), _FAR, os.SEEK_SET)  # what is locked nobody else can read
            windows.locking(file.fileno(), windows.LK_NBLCK, 1)

        return lock
    posix: Any = importlib.import_module("fcntl")
    return lambda file: posix.flock(file.fileno(), posix.LOCK_EX | posix.LOCK_NB)
