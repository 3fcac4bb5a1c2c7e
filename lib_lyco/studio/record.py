"""A run as it is kept and shown: what it is, how it stands, what became of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

State = Literal["queued", "preparing", "training", "paused", "finished", "stopped", "failed", "interrupted"]
"""`interrupted`: the program ended while it went; `paused` is also a run that lost its base model."""
Kind = Literal["train", "rehearsal", "best"]
"""`best`: the files of another run are compared."""
ACTIVE: frozenset[State] = frozenset(("preparing", "training", "paused"))
"""States that only a run has which somebody works on, but for `paused`."""
OVER: frozenset[State] = frozenset(("finished", "stopped", "failed", "interrupted"))


@dataclass(frozen=True)
class Record:
    """One run. Times are seconds since 1970."""

    id: str
    name: str
    """Of the network."""
    kind: Kind
    state: State
    created: float
    started: float | None = None
    """When it was first begun."""
    ended: float | None = None
    step: int = 0
    total: int = 0
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None
    average_loss: float | None = None
    eta: float | None = None
    """Seconds left."""
    seconds_per_step: float | None = None
    phase: str = ""
    """What is being done, as a sentence; empty when nothing is."""
    message: str = ""
    """Why it waits, or how it ended, as a sentence."""
    path: str | None = None
    """The file that it ended with."""
    base: str = ""
    """The base model's title."""
    of: str = ""
    """The run whose files are compared; "" for other kinds."""
    resumes: bool = False
    """Whether it is to go on from its last state."""
    waits: bool = False
    """Whether it goes on by itself once its base model is loaded again."""
    loads: bool = False
    """Whether it may have its base model loaded in the place of another: the user let it go on."""
    plan: Mapping[str, Any] | None = None
    """The numbers that it began with."""
    result: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What a rehearsal measured."""


_INNER = ("resumes", "waits", "loads", "plan", "phase", "seconds_per_step")


def row(record: Record) -> dict[str, Any]:
    """What the list of runs shows of one."""
    return {name: value for name, value in asdict(record).items() if name not in _INNER}


def record_text(record: Record) -> str:
    """A record as the text of its file."""
    return json.dumps(asdict(record), ensure_ascii=False, indent=1)


def parse_record(text: str) -> Record:
    """The record of a file's text; what a newer version may have added is left out.

    Raises:
        ValueError, TypeError, KeyError: It is none.
    """
    values: Any = json.loads(text)
    known = {one.name for one in fields(Record)}
    record = Record(**{name: value for name, value in values.items() if name in known})
    if record.state not in ACTIVE | OVER | {"queued"}:
        raise ValueError("no record of a run")
    return record


def number(value: float) -> float | None:
    """A number as JSON can have it."""
    return value if math.isfinite(value) else None
