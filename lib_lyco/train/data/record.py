"""A folder of images becomes records: one per image, with its size, caption and repeats."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lib_lyco.errors import DataError
from lib_lyco.train.data.bucket import Size
from lib_lyco.train.data.caption import find_caption, read_caption
from lib_lyco.train.data.header import EXTENSIONS, read_header
from lib_lyco.train.options.subset import SubsetOptions

CaptionSource = Literal["file", "folder", "none"]
_NUMBERED = re.compile(r"(\d+)_(.*)", re.DOTALL)


@dataclass(frozen=True)
class ImageRecord:
    """One image to train on."""

    path: Path
    size: Size
    caption: str
    caption_source: CaptionSource
    repeats: int
    folder: str
    """Name of the folder it lies in, as metadata lists it."""
    subset: SubsetOptions
    """Shared by all images of its subset."""


@dataclass(frozen=True)
class Scan:
    """The records of a folder, and what was left out."""

    records: tuple[ImageRecord, ...]
    notes: tuple[str, ...] = ()
    """What the user should know: ignored folders, images without a caption."""


@dataclass(frozen=True)
class _Subset:
    folder: Path
    options: SubsetOptions


def scan_folder(folder: Path, options: SubsetOptions) -> Scan:
    """Reads a folder of images.

    Accepted are a folder named `10_cat` (10 repeats, caption `cat` where an image has none), a
    parent of such folders, any folder of images, and a parent of any folders of images.

    Args:
        folder: The folder.
        options: What holds for its images; the number and the text of a folder's name come before its
            repeats and class tokens.

    Raises:
        DataError: The folder is missing or holds no image, or an image or a caption is unreadable.
    """
    if not folder.is_dir():
        raise DataError(
            "There is no such folder of images.", where=str(folder), remedy="Correct the option images."
        )
    subsets, notes = _subsets(folder, options)
    records = tuple(_record(path, subset) for subset in subsets for path in _images(subset.folder))
    if not records:
        raise DataError(
            "The folder holds no image.",
            where=str(folder),
            expected="images, or folders like 10_cat with images: " + " ".join(sorted(EXTENSIONS)),
        )
    return Scan(records, (*notes, *_caption_notes(records)))


def _images(folder: Path) -> list[Path]:
    found = (path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS and path.is_file())
    return sorted(found, key=lambda path: path.name)


def _subsets(folder: Path, options: SubsetOptions) -> tuple[list[_Subset], list[str]]:
    below = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.name)
    numbered = [path for path in below if _numbered(path)]
    if not _numbered(folder) and numbered:
        left_out = [path for path in below if path not in numbered and _images(path)]
        if _images(folder):
            left_out.insert(0, folder)
        notes = [
            f"{path}: its images are not used, its name has no number of repeats." for path in left_out
        ]
        return [_subset(path, options) for path in numbered], notes
    if _images(folder):
        return [_subset(folder, options)], []
    return [_subset(path, options) for path in below if _images(path)], []


def _numbered(folder: Path) -> tuple[int, str] | None:
    """Repeats and text of a folder name like `10_cat`; None for other names and for 0 repeats."""
    found = _NUMBERED.fullmatch(folder.name)
    return (int(found[1]), found[2].strip()) if found and int(found[1]) else None


def _subset(folder: Path, options: SubsetOptions) -> _Subset:
    named = _numbered(folder)
    if named is None:
        return _Subset(folder, options)
    number, text = named
    return _Subset(folder, replace(options, repeats=number, class_tokens=text or options.class_tokens))


def _record(path: Path, subset: _Subset) -> ImageRecord:
    options = subset.options
    caption_file = find_caption(path, options.caption_extension)
    source: CaptionSource = "file" if caption_file else "folder" if options.class_tokens else "none"
    caption = read_caption(caption_file) if caption_file else options.class_tokens
    return ImageRecord(
        path, read_header(path).size, caption, source, options.repeats, subset.folder.name, options
    )


def _caption_notes(records: Iterable[ImageRecord]) -> list[str]:
    untagged = [record for record in records if record.caption_source == "none"]
    named = [record for record in records if record.caption_source == "folder"]
    notes: list[str] = []
    if named:
        notes.append(f"{len(named)} images have no caption file; their folder's name is their caption.")
    if untagged:
        notes.append(
            f"{len(untagged)} images have no caption at all, the first is {untagged[0].path.name}."
        )
    return notes
