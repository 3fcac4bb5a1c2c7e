"""Requests and answers without a server: what a feature offers, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ask:
    """One request, as far as an answer may depend on it."""

    given: Mapping[str, str] = field(default_factory=dict[str, str])
    """What stands in the address: its path's variable parts and its query."""
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The JSON object of a POST."""
    upload: Path | None = None
    """The file that a POST to an `upload` route carries; it is gone after the answer."""
    is_local: bool = True
    """Whether it comes from this machine, as far as can be seen."""


@dataclass(frozen=True)
class Content:
    """An answer that is no JSON: a picture, a text to keep."""

    data: bytes
    media_type: str
    keep: bool = False
    """Whether the browser may keep it: nothing else will ever be at this address."""


Answer = Callable[[Ask], "Mapping[str, Any] | Content"]
"""Makes the answer. LycoError: what was asked for cannot be had."""


@dataclass(frozen=True)
class Route:
    """An address and what answers there."""

    method: str
    path: str
    answer: Answer
    upload: bool = False
    """Whether a POST carries a file as its whole body, and not JSON."""
