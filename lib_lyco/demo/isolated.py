"""Runs an iterator in a process of its own and says how much memory that process needed at most.

A fresh process is the honest way to measure: nothing that an earlier run left in an allocator, a
cache or another package's class attributes is counted, or can help. Works on Windows, as `spawn` does.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

import psutil

from lib_lyco.errors import LycoError

Item = TypeVar("Item")

SECONDS_BETWEEN_LOOKS = 0.05
SECONDS_TO_END = 10


@dataclass(frozen=True)
class _Crash:
    """What ended the process early."""

    what: str
    details: dict[str, str]


class IsolatedError(LycoError):
    """The work in the other process failed; the message is what it said."""


class Isolated(Generic[Item]):
    """An iterator over what `work(*arguments)` yields in a process of its own.

    Args:
        work: A function of a module; it, its arguments and what it yields must be picklable.
    """

    def __init__(self, work: Callable[..., Iterator[Item]], *arguments: Any) -> None:
        self.peak_bytes = 0
        """Largest resident memory seen so far, looked at every 50 ms."""
        self._work = work
        self._arguments = arguments

    def __iter__(self) -> Iterator[Item]:
        """Starts the process; it ends with the iteration, also an abandoned one.

        Raises:
            IsolatedError: The work raised, or the process died.
        """
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_serve, args=(sender, self._work, self._arguments), daemon=True)
        process.start()
        sender.close()
        try:
            yield from self._received(receiver, process)
        finally:
            process.join(0 if process.is_alive() else None)
            process.terminate()
            process.join(SECONDS_TO_END)
            receiver.close()

    def _received(self, receiver: Connection, process: BaseProcess) -> Iterator[Item]:
        while True:
            self._look(process)
            try:
                if not receiver.poll(SECONDS_BETWEEN_LOOKS):
                    continue
                item = receiver.recv()
            except (EOFError, ConnectionError) as error:
                process.join(SECONDS_TO_END)
                raise IsolatedError(
                    "The process that did the work died.",
                    got=f"exit code {process.exitcode}",
                    remedy="Is there enough free memory? Close other programs and try again.",
                ) from error
            if item is None:
                return
            if isinstance(item, _Crash):
                raise IsolatedError(item.what, **item.details)
            yield item

    def _look(self, process: BaseProcess) -> None:
        try:
            memory = psutil.Process(process.pid).memory_info()
        except psutil.NoSuchProcess:
            return
        self.peak_bytes = max(self.peak_bytes, memory.rss, getattr(memory, "peak_wset", 0))


def _serve(sender: Connection, work: Callable[..., Iterator[Any]], arguments: tuple[Any, ...]) -> None:
    """The other process: sends each item, then None; an error instead of what follows it."""
    try:
        for item in work(*arguments):
            sender.send(item)
    except LycoError as error:
        details = {name: getattr(error, name) for name in ("where", "got", "expected", "remedy")}
        sender.send(_Crash(error.what, details))
    except Exception:  # noqa: BLE001 - reported to the process that waits, with its traceback
        sender.send(_Crash("The work in the other process failed.", {"got": traceback.format_exc()}))
    else:
        sender.send(None)
    finally:
        sender.close()
