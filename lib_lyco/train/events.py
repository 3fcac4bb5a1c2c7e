"""What a run reports. A run is an iterator of these; form, command line and tests only iterate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lib_lyco.train.plan import Plan

SaveReason = Literal["epoch", "step", "final", "stopped", "rescue"]
"""`stopped`: the user stopped the run; `rescue`: the run failed, these are the last good weights."""


@dataclass(frozen=True)
class Started:
    """The run begins, or goes on; in this process nothing has been trained yet."""

    plan: Plan
    step: int = 0
    """How many steps the state it was resumed from has."""


@dataclass(frozen=True)
class Caching:
    """Images are being encoded before the first step."""

    done: int
    total: int


@dataclass(frozen=True)
class Step:
    """One optimiser update is done."""

    step: int
    """From 1."""
    total: int
    epoch: int
    """From 1."""
    loss: float
    average_loss: float
    """Over the last epoch's worth of steps."""
    learning_rates: Mapping[str, float]
    """By component group: `unet`, `te`."""
    seconds: float
    """Since the run started training."""
    eta: float
    """Seconds left, by the pace so far."""
    updated: bool = True
    """False where fp16 overflowed and this step was skipped to lower the loss scale."""


@dataclass(frozen=True)
class Saved:
    """A network file is complete on disk, has been reloaded and equals what was trained."""

    path: Path
    step: int
    epoch: int
    reason: SaveReason


@dataclass(frozen=True)
class Finished:
    """The run is over as planned, or was stopped."""

    path: Path | None
    """The last file written; None if the run was stopped before its first step."""
    step: int
    loss: float
    seconds: float
    stopped: bool


@dataclass(frozen=True)
class Failed:
    """The run cannot go on; the error follows as an exception."""

    step: int
    message: str
    saved: Path | None
    """The last good weights."""


Event = Started | Caching | Step | Saved | Finished | Failed
