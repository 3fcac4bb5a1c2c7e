"""Models that travel between CPU and GPU: not here."""

from __future__ import annotations

from typing import Any


def is_enabled(sd_model: Any) -> bool:
    """Never."""
    return bool(sd_model.lowvram)


def send_everything_to_cpu() -> None:
    """Everything is there."""
