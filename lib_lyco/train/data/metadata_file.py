"""A metadata file becomes a subset: captions and tags by image, as sd-scripts' tools write them.

The form is that of `FineTuningDataset`: a JSON object {image: {"caption": ..., "tags": ...}}, or JSONL
with one {"image_path": ..., "caption": ..., "tags": ...} a line. An image is named by its full path, by
its file name, or by its file name without extension, as the merge tools write it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from lib_lyco.errors import DataError
from lib_lyco.train.data.header import read_header, readable_extensions
from lib_lyco.train.data.record import ImageRecord, Scan, Subset
from lib_lyco.train.options.subset import SubsetOptions

_SHOWN = 4


def scan_metadata_file(path: Path, options: SubsetOptions) -> Scan:
    """Reads the images that a metadata file names.

    Args:
        path: JSON, or JSONL by its extension.
        options: What holds for them; `images` is the folder that names are in, if they are not paths.

    Raises:
        DataError: The file is no such file, or an image that it names is missing or unreadable.
    """
    finder = ImageFinder(Path(options.images) if options.images else None)
    records: list[ImageRecord] = []
    missing: list[str] = []
    seen: dict[Path, str] = {}
    for key, entry in read_entries(path):
        image = finder.find(key, str(path))
        if image is None:
            missing.append(key)
            continue
        if image in seen:
            raise _wrong(path, f"{seen[image]!r} and {key!r}, which are one image", "each image once")
        seen[image] = key
        caption = entry_text(path, key, entry, options)
        header = read_header(image)
        source = "metadata" if caption else "folder" if options.class_tokens else "none"
        text = caption or options.class_tokens
        records.append(
            ImageRecord(image, header.size, text, source, path.name, options, header.transparent)
        )
    if missing:
        raise DataError(
            f"{len(missing)} images of a metadata file are not there.",
            where=str(path),
            got=", ".join(missing[:_SHOWN]),
            expected=f"files in {options.images or 'the folders that the paths name'}",
            remedy="Set images to their folder, or remove them from the file.",
        )
    if not records:
        raise _wrong(path, "no image", 'entries like {"a.png": {"caption": "a cat"}}')
    unused = finder.num_images - len(seen.keys() & finder.paths)
    notes = (f"{options.images}: {unused} images are not used, {path.name} does not name them.",)
    return Scan((Subset(path, options, tuple(records)),), notes if unused else ())


class ImageFinder:
    """Finds the image file that a key means."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._readable = readable_extensions()
        self._stems: dict[Path, dict[str, list[str]]] = {}
        names = [name for names in self._listed(folder).values() for name in names] if folder else []
        self.paths = {folder / name for name in names} if folder else set[Path]()

    @property
    def num_images(self) -> int:
        """Images in the folder."""
        return len(self.paths)

    def find(self, key: str, where: str) -> Path | None:
        """The image's path; None if there is none. A full path of another machine is looked for by its
        name in the folder.

        Raises:
            DataError: The name without extension stands for several images.
        """
        named = Path(key)
        if named.is_absolute() and named.is_file():
            return named
        if self._folder is None:
            return None
        name = key.replace("\\", "/").rsplit("/", 1)[-1]
        for path in (self._folder / named, self._folder / name):
            if path.suffix.lower() in self._readable and path.is_file():
                return path
            found = self._listed(path.parent).get(path.name, [])
            if len(found) > 1:
                raise DataError(
                    "A name in a metadata file stands for several images.",
                    where=f"{where}: {key}",
                    got=", ".join(found),
                    expected="one image of that name",
                    remedy="Write the name with its extension.",
                )
            if found:
                return path.parent / found[0]
        return None

    def _listed(self, folder: Path) -> dict[str, list[str]]:
        """File names of a folder's images by their name without extension."""
        if folder not in self._stems:
            stems: dict[str, list[str]] = {}
            for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
                stem, extension = os.path.splitext(name)
                if extension.lower() in self._readable and not name.startswith("."):
                    stems.setdefault(stem, []).append(name)
            self._stems[folder] = stems
        return self._stems[folder]


def read_entries(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Key and entry of each image.

    Raises:
        DataError: The file cannot be read, or is no such file.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("A metadata file cannot be read.", where=str(path), got=str(error)) from error
    if path.suffix.lower() == ".jsonl":
        yield from _lines(path, text)
        return
    entries = _parsed(path, text)
    for key, entry in entries.items():
        yield key, _object(path, key, entry)


def _lines(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            entry = _parsed(path, line, f"line {number}, ")
            key = entry.get("image_path")
            if not isinstance(key, str):
                raise _wrong(path, f"line {number} without image_path", '{"image_path": "a.png", ...}')
            yield key, entry


def _parsed(path: Path, text: str, place: str = "") -> Mapping[str, Any]:
    try:
        return _object(path, "the file", json.loads(text))
    except json.JSONDecodeError as error:
        line = place or f"line {error.lineno}, "
        raise _wrong(path, f"{line}column {error.colno}: {error.msg}", "JSON") from error


def _object(path: Path, name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(path, f"{name}: {value!r:.60}", 'an object, {"caption": ..., "tags": ...}')
    return cast(dict[str, Any], value)


def entry_text(path: Path, key: str, entry: Mapping[str, Any], options: SubsetOptions) -> str:
    """Caption, separator and tags; with wildcards, the tags after every line of the caption.

    Raises:
        DataError: One of them is no text.
    """
    values = {name: entry.get(name) or "" for name in ("caption", "tags")}
    for name, value in values.items():
        if not isinstance(value, str):
            raise _wrong(path, f"{key}: {name} {value!r:.60}", "a text")
    caption, tags = values["caption"].strip(), values["tags"].strip()
    if not options.enable_wildcard:
        return options.caption_separator.join(filter(None, (caption, tags)))
    tags = tags.replace("\n", options.caption_separator)
    lines = [line.strip() for line in caption.splitlines() if line.strip()] or [""]
    return "\n".join(options.caption_separator.join(filter(None, (line, tags))) for line in lines)


def _wrong(path: Path, got: str, expected: str) -> DataError:
    return DataError("A metadata file cannot be used.", where=str(path), got=got, expected=expected)
