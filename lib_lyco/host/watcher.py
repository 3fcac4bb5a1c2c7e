"""Keeps the index up to date beside requests: a page never waits for thousands of headers to be read."""

from __future__ import annotations

import time
from threading import Lock, Thread

from lib_lyco.catalog.index import Index

_PATIENCE = 0.1
"""Seconds: a look at folders that have not changed takes far less, and is then in the answer."""


class Watcher:
    """Looks for changed files whenever somebody asks, one look at a time.

    Args:
        index: What is kept up to date. Killed in the middle of a scan it goes on from there next time.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._lock = Lock()
        self._thread: Thread | None = None
        self._began = 0.0

    def look(self, patience: float = _PATIENCE) -> None:
        """Begins to look unless somebody does; waits until the look is this old, in seconds, or ends."""
        with self._lock:
            thread = self._thread
            if thread is None or not thread.is_alive():
                thread = self._thread = Thread(target=self._index.follow, name="lyco-index", daemon=True)
                self._began = time.monotonic()
                thread.start()
            left = self._began + patience - time.monotonic()
        thread.join(max(left, 0.0))
