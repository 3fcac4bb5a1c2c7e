"""A folder of images becomes subsets: one per folder, with repeats and captions.

Names like `10_cat` mean what they mean to sd-scripts (`config_util.py`): 10 repeats, and `cat` for
images without a caption file. Accepted beside them: the folder 10_cat itself, any folder of images, a
parent of any folders of images, and repeats with a fraction (`0.5_cat`). Nothing deeper is looked into,
and a folder named `excluded` is not looked into at all unless it is the one that is named.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lib_lyco.errors import DataError
from lib_lyco.train.data.caption import EXTENSIONS as CAPTION_EXTENSIONS
from lib_lyco.train.data.caption import caption_in, read_text
from lib_lyco.train.data.header import (
    EXTENSIONS,
    ImageHeader,
    missing_plugins,
    read_header,
    readable_extensions,
)
from lib_lyco.train.data.record import CaptionSource, ImageRecord, Scan, Subset
from lib_lyco.train.options.subset import SubsetOptions

EXCLUDED = "excluded"
"""Name of the folder, inside one of images, for images that are not to be trained on."""
_NUMBERED = re.compile(r"(\d+(?:\.\d+)?)_(.*)", re.DOTALL)
_FACE_PARTS = 4
"""Numbers that a face crop's file name ends with: `photo_cx_cy_w_h.png`."""


@dataclass(frozen=True)
class _Listing:
    """What lies in one folder."""

    folder: Path
    images: tuple[str, ...]
    """File names of images, sorted."""
    captions: Mapping[str, str]
    """File names of everything that is no image, by the name with its extension in lower case."""
    below: tuple[str, ...]
    """Names of the folders in it, sorted."""
    left_out: tuple[str, ...]
    """File names of images that need a package to be read."""


@dataclass(frozen=True)
class ListedFolder:
    """The files of one folder of images, before any of them is read."""

    path: Path
    options: SubsetOptions
    """What holds for its images: its name may say repeats and class tokens."""
    images: tuple[tuple[str, str | None], ...]
    """File names of each image and of its caption file, sorted."""


def scan_folder(folder: Path, options: SubsetOptions, by_name: bool = True) -> Scan:
    """Reads a folder of images, or a parent of such folders.

    Args:
        folder: The folder.
        options: What holds for its images.
        by_name: Whether names like `10_cat` give repeats and captions, before those of the options.

    Raises:
        DataError: The folder is missing or holds no image, or an image or a caption is unreadable.
    """
    listed, notes = list_folder(folder, options, by_name)
    return Scan(tuple(_subset(one) for one in listed), notes)


def list_folder(
    folder: Path, options: SubsetOptions, by_name: bool = True
) -> tuple[tuple[ListedFolder, ...], tuple[str, ...]]:
    """What `scan_folder` would read, and its notes on what is left out.

    Raises:
        DataError: The folder is missing or holds no image.
    """
    if not folder.is_dir():
        raise DataError(
            "There is no such folder of images.", where=str(folder), remedy="Correct the folder's name."
        )
    listings, notes = _choose(_listing(folder), by_name)
    if not listings:
        raise DataError(
            "The folder holds no image.",
            where=str(folder),
            expected=f"images ({' '.join(EXTENSIONS)}), or folders like 10_cat with images",
        )
    left_out = Counter(Path(name).suffix.lower() for one in listings for name in one.left_out)
    packages = missing_plugins(frozenset())
    notes += [
        f"{folder}: {count} {extension} images are left out; pip install {packages[extension]} reads them."
        for extension, count in sorted(left_out.items())
    ]
    return tuple(_listed(listing, options, by_name) for listing in listings), tuple(notes)


def _choose(top: _Listing, by_name: bool) -> tuple[list[_Listing], list[str]]:
    """The folders whose images are used, and notes on those that are not."""
    below = [_listing(top.folder / name) for name in top.below]
    if by_name and _numbered(top.folder):
        return ([top] if top.images else []), _sibling_notes(top)
    numbered = [one for one in below if _numbered(one.folder)] if by_name else []
    if numbered:
        unused = [one for one in (top, *below) if one not in numbered and one.images]
        notes = [
            f"{one.folder}: its images are not used, its name has no number of repeats." for one in unused
        ]
        return [one for one in numbered if one.images], notes
    if top.images:
        unused = [one for one in below if one.images]
        return [top], [f"{one.folder}: its images are not used, only those beside it." for one in unused]
    return [one for one in below if one.images], []


def _sibling_notes(leaf: _Listing) -> list[str]:
    parent = leaf.folder.resolve().parent
    others = [one for one in parent.iterdir() if _numbered(one) and one.is_dir()]
    if len(others) < 2:
        return []
    return [
        f"{leaf.folder} is one folder of images; {len(others) - 1} more with a number beside it are not "
        "used. Name their parent to train all of them."
    ]


def _listing(folder: Path) -> _Listing:
    readable = readable_extensions()
    missing = missing_plugins(readable)
    images: list[str] = []
    others: list[str] = []
    below: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            extension = os.path.splitext(entry.name)[1].lower()
            if entry.is_dir():
                if entry.name != EXCLUDED:
                    below.append(entry.name)
            else:
                (images if extension in readable else others).append(entry.name)
    left_out = tuple(name for name in others if os.path.splitext(name)[1].lower() in missing)
    captions = {_lower_extension(name): name for name in sorted(others)}
    return _Listing(folder, tuple(sorted(images)), captions, tuple(sorted(below)), left_out)


def _lower_extension(name: str) -> str:
    stem, extension = os.path.splitext(name)
    return stem + extension.lower()


def _numbered(folder: Path) -> tuple[float, str] | None:
    """Repeats and text of a folder name like `10_cat`; None for other names and for 0 repeats."""
    found = _NUMBERED.fullmatch(folder.name)
    return (float(found[1]), found[2].strip()) if found and float(found[1]) else None


def _listed(listing: _Listing, options: SubsetOptions, by_name: bool) -> ListedFolder:
    named = _numbered(listing.folder) if by_name else None
    if named is not None:
        number, text = named
        options = replace(options, repeats=number, class_tokens=text or options.class_tokens)
    names = listing.images
    captions = (_caption_name(name, listing.captions, options.caption_extension) for name in names)
    return ListedFolder(listing.folder, options, tuple(zip(names, captions, strict=True)))


def _subset(listed: ListedFolder) -> Subset:
    records = tuple(read_record(listed, *names) for names in listed.images)
    return Subset(listed.path, listed.options, records)


def read_record(listed: ListedFolder, name: str, caption_file: str | None) -> ImageRecord:
    """Reads one image's header and its caption.

    Raises:
        DataError: One of them is unreadable.
    """
    header = read_header(listed.path / name)
    return make_record(
        listed, name, header, read_text(listed.path / caption_file) if caption_file else None
    )


def make_record(listed: ListedFolder, name: str, header: ImageHeader, text: str | None) -> ImageRecord:
    """The record of an image with this header and this text in its caption file; None: it has none."""
    options = listed.options
    source: CaptionSource = "file" if text is not None else "folder" if options.class_tokens else "none"
    caption = options.class_tokens if text is None else caption_in(text, options.enable_wildcard)
    path, folder = listed.path / name, listed.path.name
    return ImageRecord(path, header.size, caption, source, folder, options, header.transparent)


def _caption_name(image: str, names: Mapping[str, str], extension: str) -> str | None:
    """The caption file of an image: that of its own name first, else that of the picture a face was cut
    from (sd-scripts looks at the underscores of the whole path and so may find a foreign one)."""
    stem = os.path.splitext(image)[0]
    words = stem.split("_")
    stems = [stem]
    if len(words) > _FACE_PARTS and all(word.isdecimal() for word in words[-_FACE_PARTS:]):
        stems.append("_".join(words[:-_FACE_PARTS]))
    ends = (extension.lower(),) if extension else CAPTION_EXTENSIONS
    return next((names[one + end] for one in stems for end in ends if one + end in names), None)
