"""One thread for every test."""

from __future__ import annotations

import torch


def pytest_configure() -> None:
    """Tiny models are faster with one thread, a busy machine many times so, and sums have one order."""
    torch.set_num_threads(1)
