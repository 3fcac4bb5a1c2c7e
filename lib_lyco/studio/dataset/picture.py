"""One image of a folder, as the page is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lib_lyco.train.data.bucket import Placement
from lib_lyco.train.data.record import ImageRecord


@dataclass(frozen=True)
class Picture:
    """One image of a folder."""

    name: str
    """Its path below the folder, with slashes: what the page calls it."""
    path: Path
    key: str
    """Another one for another content."""
    caption_file: Path
    """Where its caption is, or would be written."""
    record: ImageRecord | None
    """As training reads it; None if it cannot."""
    entry: str = ""
    """What a metadata file calls it, if its caption is in one."""
    text: str = ""
    """All that stands in the caption file; without one, what training takes in its place."""
    tags: tuple[str, ...] = ()
    placement: Placement | None = None
    repeats: float = 1.0
    excluded: bool = False
    mask: str = ""
    """A name for the content of its mask; "" if all of it counts."""
    problem: str = ""
    """Why training would refuse it."""
    advice: str = ""
