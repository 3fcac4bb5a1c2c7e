"""The images that a metadata file names, with their captions and what is wrong with each of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from lib_lyco.errors import DataError, FileError
from lib_lyco.files.identity import FileState
from lib_lyco.studio.dataset.entries import FIELDS
from lib_lyco.studio.dataset.listing import Listing
from lib_lyco.studio.dataset.picture import Picture
from lib_lyco.studio.dataset.reader import Memory, Reader, State, below, key_of, sentence
from lib_lyco.train.compose.datasets import subset_options
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.data.metadata_file import ImageFinder, entry_text, read_entries
from lib_lyco.train.data.record import ImageRecord
from lib_lyco.train.options.subset import SubsetOptions

_REPEATS = 1.0


def read_metadata(config: TrainConfig, memory: Memory, most: int | None = None) -> Listing:
    """The images that a metadata file names, as `read_listing` reads those of a folder.

    Raises:
        DataError: The file cannot be read, or none of its images is there.
    """
    file, images = Path(config.metadata_file), config.images
    options = replace(subset_options(config), images=images)
    finder = ImageFinder(Path(images) if images else None)
    entries = [(key, entry, finder.find(key, str(file))) for key, entry in read_entries(file)]
    found = [(key, entry, image) for key, entry, image in entries if image is not None]
    if not found:
        raise DataError(
            "None of a metadata file's images is there.",
            where=str(file),
            expected=f"files in {images or 'the folders that its paths name'}",
            remedy="Name the folder of its images.",
        )
    folder = _base(Path(images) if images else None, [image for _, _, image in found])
    reader = _EntryReader(Reader(folder, config, memory), file, options)
    pictures = {one.name: one for one in islice(reader.pictures(found), most)}
    return Listing(folder, pictures, _notes(entries, len(found), finder), reader.grammar, file)


def _base(images: Path | None, found: list[Path]) -> Path:
    """The folder that all images are below."""
    if images is not None and all(image.is_relative_to(images) for image in found):
        return images
    return Path(os.path.commonpath([image.parent for image in found]))


def _notes(entries: list[Any], count: int, finder: ImageFinder) -> tuple[str, ...]:
    lost = len(entries) - count
    unused = len(finder.paths) - len(finder.paths & {image for _, _, image in entries})
    notes = (
        lost and f"{lost} images that the metadata file names are not there.",
        unused and f"{unused} images are not used, the metadata file does not name them.",
    )
    return tuple(note for note in notes if note)


class _EntryReader:
    """Makes pictures of entries."""

    def __init__(self, reader: Reader, file: Path, options: SubsetOptions) -> None:
        self.grammar = reader.grammar
        self._reader, self._file, self._options = reader, file, options
        self._told = reader.options(options)

    def pictures(self, found: list[tuple[str, Mapping[str, Any], Path]]) -> Iterator[Picture]:
        """Their pictures; an entry that cannot be used is one with a problem."""
        for key, entry, path in found:
            try:
                image = FileState.at(path)
            except FileError:
                continue  # it was deleted this moment
            said = repr((key, [entry.get(name) for name in FIELDS]))
            state = State(self._told, image, said)
            picture = self._reader.memory.picture(str(path), state)
            if picture is None:
                picture = self._read(key, entry, path, image)
                self._reader.memory.put(str(path), state, picture)
            yield self._reader.with_mask(picture)

    def _read(self, key: str, entry: Mapping[str, Any], path: Path, state: FileState) -> Picture:
        repeats = self._options.repeats
        picture = Picture(
            name=below(self._reader.folder, path),
            path=path,
            key=key_of(path, state),
            caption_file=self._file,
            entry=key,
            record=None,
            repeats=_REPEATS if repeats is None else repeats,
        )
        options = self._options
        try:
            header = self._reader.memory.header(path, state)
            own = entry_text(self._file, key, entry, options)
            source = "metadata" if own else "folder" if options.class_tokens else "none"
            text, folder = own or options.class_tokens, self._file.name
            record = ImageRecord(path, header.size, text, source, folder, options, header.transparent)
            return self._reader.placed(picture, record, text)
        except (DataError, FileError) as error:
            return replace(picture, problem=sentence(error))
