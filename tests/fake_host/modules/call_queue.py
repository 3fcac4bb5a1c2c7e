"""One job at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

queue_lock = threading.Lock()


def wrap_queued_call(func: Callable[_P, _R]) -> Callable[_P, _R]:
    """Waits for its turn."""

    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with queue_lock:
            return func(*args, **kwargs)

    return call
