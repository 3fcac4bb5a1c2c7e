"""Images to train on, and the subsets they come in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lib_lyco.train.data.bucket import Size
from lib_lyco.train.options.subset import SubsetOptions

CaptionSource = Literal["file", "metadata", "folder", "none"]
"""A file beside the image, the metadata file, the folder's name or class tokens, nothing."""


@dataclass(frozen=True)
class ImageRecord:
    """One image to train on."""

    path: Path
    size: Size
    caption: str
    caption_source: CaptionSource
    folder: str
    """Name of the folder it lies in, as metadata lists it."""
    subset: SubsetOptions
    """Shared by all images of its subset."""
    transparent: bool = False
    """Whether it has an alpha channel or a transparent colour."""


@dataclass(frozen=True)
class Subset:
    """Images with the same settings: those of one folder, or of one metadata file."""

    path: Path
    """The folder or the file."""
    options: SubsetOptions
    records: Sequence[ImageRecord]


@dataclass(frozen=True)
class Scan:
    """The subsets of a folder, and what was left out."""

    subsets: tuple[Subset, ...]
    notes: tuple[str, ...] = ()
    """What the user should know: ignored folders, images that cannot be read."""

    @property
    def records(self) -> tuple[ImageRecord, ...]:
        """The images of all subsets, in order."""
        return tuple(record for subset in self.subsets for record in subset.records)


def joined(scans: Iterable[Scan]) -> Scan:
    """Several scans as one."""
    scans = tuple(scans)
    return Scan(
        tuple(subset for scan in scans for subset in scan.subsets),
        tuple(note for scan in scans for note in scan.notes),
    )
