"""One thread for every test, and one worker for every core of `pytest -n auto`."""

from __future__ import annotations

import os

import pytest
import torch


def pytest_configure() -> None:
    """Tiny models are faster with one thread, a busy machine many times so, and sums have one order."""
    torch.set_num_threads(1)
    # the processes that tests start, too; asked for nothing, theirs would fight for the same cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many `-n auto` starts: a virtual machine's cores count, and each worker takes a gigabyte."""
    return min(os.cpu_count() or 1, 8)
