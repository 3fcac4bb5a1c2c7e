from collections.abc import Callable
from typing import ParamSpec, TypeVar

from modules.fifo_lock import FIFOLock

_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")

queue_lock: FIFOLock
"""Held by the one job that runs; not reentrant."""

def wrap_queued_call(func: Callable[_Args, _Result]) -> Callable[_Args, _Result]:
    """The function under the lock."""
