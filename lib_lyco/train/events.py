"""What a run reports. A run is an iterator of these; form, command line and tests only iterate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lib_lyco.train.plan import Plan

SaveReason = Literal["epoch", "step", "final", "stopped", "asked"]
"""`stopped`: the user stopped the run; `asked`: the user wanted a file now."""
Encodable = Literal["images", "captions"]


@dataclass(frozen=True)
class Started:
    """The run begins, or goes on; in this process nothing has been trained yet."""

    plan: Plan
    step: int = 0
    """How many steps the state it was resumed from has."""


@dataclass(frozen=True)
class Caching:
    """Images, then captions, are being encoded before the first step."""

    done: int
    total: int
    what: Encodable = "images"


@dataclass(frozen=True)
class Eased:
    """There was too little memory to encode; the run encodes in another way, which its files tell."""

    what: Encodable
    trouble: str
    change: str
    """What is different from here on."""


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
class Paused:
    """The run waits: because it was asked to, or until a file can be written."""

    step: int
    reason: str
    remedy: str
    """What lets it go on."""


@dataclass(frozen=True)
class Resumed:
    """A paused run goes on."""

    step: int


@dataclass(frozen=True)
class Recovered:
    """A step could not be made; the run went back and goes on in another way, which its files tell."""

    step: int
    """The step that could not be made, from 1."""
    trouble: str
    images: tuple[str, ...]
    """File names of its batch."""
    back_to: int
    """The step whose weights it goes on from."""
    change: str
    """What is different from here on."""


@dataclass(frozen=True)
class Validated:
    """The loss on the images held out."""

    step: int
    epoch: int
    loss: float


@dataclass(frozen=True)
class Sampled:
    """A picture of a sample prompt is on disk."""

    path: Path
    step: int
    prompt: str
    with_network: bool = True


@dataclass(frozen=True)
class NotSampled:
    """A picture, or all of them, could not be drawn; the run goes on."""

    step: int
    message: str


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


Event = (
    Started
    | Caching
    | Eased
    | Step
    | Saved
    | Paused
    | Resumed
    | Recovered
    | Validated
    | Sampled
    | NotSampled
    | Finished
    | Failed
)
