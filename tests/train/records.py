"""Records made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lib_lyco.train.data.record import ImageRecord
from lib_lyco.train.options.subset import SubsetOptions


def record(
    caption: str = "", path: Path | str = "a.png", size: tuple[int, int] = (64, 64), **options: Any
) -> ImageRecord:
    """One image with its subset's options."""
    return ImageRecord(
        path=Path(path),
        size=size,
        caption=caption,
        caption_source="file",
        folder="folder",
        subset=SubsetOptions(**options),
    )
