"""Errors of extensions are told on the console and never stop the host."""

from __future__ import annotations

import sys
import traceback


def report(message: str, *, exc_info: bool = False) -> None:
    """Prints a message, with the traceback of what is being handled."""
    sys.stderr.write(f"*** {message}\n")
    if exc_info:
        traceback.print_exc()


def display(e: BaseException, task: str, *, full_traceback: bool = False) -> None:
    """Prints an error and what was being done."""
    del full_traceback
    sys.stderr.write(f"{task}: {type(e).__name__}\n")
    traceback.print_exception(type(e), e, e.__traceback__)
