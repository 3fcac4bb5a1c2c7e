"""Images of a listing, each read on its own, and remembered as long as its files stay the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lib_lyco.errors import DataError, FileError, one_line
from lib_lyco.files.identity import FileState
from lib_lyco.studio.dataset.picture import Picture
from lib_lyco.studio.dataset.tags import Grammar
from lib_lyco.train.compose.datasets import bucketing_of
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.data.bucket import Placement, Size
from lib_lyco.train.data.caption import EXTENSIONS as CAPTION_EXTENSIONS
from lib_lyco.train.data.caption import read_text
from lib_lyco.train.data.folder import ListedFolder, make_record
from lib_lyco.train.data.header import ImageHeader, read_header
from lib_lyco.train.data.mask import demand_same_shape, find_mask
from lib_lyco.train.data.record import ImageRecord

_ENLARGED, _CUT = 1.5, 0.25
"""From which factor, and from which share that a crop takes away, the user is told."""
_REPEATS = 10.0
"""Of images in folders where nothing says, as `repeats` declares."""


class Memory:
    """What was read: headers as long as their files stay the same, pictures as long as the caption and the
    options do too."""

    def __init__(self) -> None:
        self._headers: dict[str, tuple[FileState, ImageHeader]] = {}
        self._pictures: dict[str, tuple[State, Picture]] = {}

    def picture(self, path: str, state: State) -> Picture | None:
        """The picture of an image in this state; None if it is not known."""
        known = self._pictures.get(path)
        return known[1] if known and known[0] == state else None

    def put(self, path: str, state: State, picture: Picture) -> None:
        """Remembers one."""
        self._pictures[path] = state, picture

    def header(self, path: Path, state: FileState) -> ImageHeader:
        """The header of an image in this state. Raises DataError if it cannot be read."""
        known = self._headers.get(str(path))
        if known and known[0] == state:
            return known[1]
        header = read_header(path)
        self._headers[str(path)] = state, header
        return header


@dataclass(frozen=True)
class State:
    """All that decides what is told of an image."""

    options: str
    image: FileState
    caption: FileState | str | None
    """The state of the caption's file, or the caption itself."""


class Reader:
    """Makes pictures of listed files.

    Args:
        folder: What names of images begin below.
        config: The options that decide what becomes of them.
        memory: Of what was read before.
    """

    def __init__(self, folder: Path, config: TrainConfig, memory: Memory) -> None:
        self.grammar = Grammar.of(config)
        self.folder = folder
        self.memory = memory
        self._config = config
        self._bucketing = bucketing_of(config)
        self._placements: dict[Size, Placement | DataError] = {}

    def pictures(self, listed: ListedFolder) -> Iterator[Picture]:
        """The pictures of one folder."""
        options, root = self.options(listed.options), str(listed.path)
        for name, caption_file in listed.images:
            place = os.path.join(root, name)
            try:
                caption_state = FileState.at(os.path.join(root, caption_file)) if caption_file else None
                state = State(options, FileState.at(place), caption_state)
            except FileError:
                continue  # it was deleted this moment
            picture = self.memory.picture(place, state)
            if picture is None:
                picture = self._read(listed, name, caption_file, state.image)
                self.memory.put(place, state, picture)
            yield self.with_mask(picture)

    def options(self, own: object) -> str:
        """All options that decide what is told, as a text to compare."""
        return repr((self._config, own))

    def _read(self, listed: ListedFolder, name: str, caption_file: str | None, state: FileState) -> Picture:
        path, repeats = listed.path / name, listed.options.repeats
        extension = self._config.caption_extension or CAPTION_EXTENSIONS[0]
        picture = Picture(
            name=below(self.folder, path),
            path=path,
            key=key_of(path, state),
            caption_file=listed.path / caption_file if caption_file else path.with_suffix(extension),
            record=None,
            repeats=_REPEATS if repeats is None else repeats,
        )
        try:
            header = self.memory.header(path, state)
            text = read_text(picture.caption_file) if caption_file else None
            record = make_record(listed, name, header, text)
            return self.placed(picture, record, record.caption if text is None else text.rstrip())
        except (DataError, FileError) as error:
            return replace(picture, problem=sentence(error))

    def placed(self, picture: Picture, record: ImageRecord, text: str) -> Picture:
        """The picture with its record, its text, and where its image ends up."""
        tags = tuple(self.grammar.tags_of(record.caption))
        placement = self._placement(record.size)
        if isinstance(placement, DataError):
            return replace(picture, record=record, text=text, tags=tags, problem=sentence(placement))
        advice = _advice(record.size, placement)
        return replace(picture, record=record, text=text, tags=tags, placement=placement, advice=advice)

    def with_mask(self, picture: Picture) -> Picture:
        """A mask may come and go without its image's doing."""
        record = picture.record
        if record is None or not (record.subset.mask_folder or record.subset.alpha_mask):
            return picture
        if not record.subset.mask_folder:
            return replace(picture, mask="alpha" if record.transparent else "")
        try:
            path = find_mask(Path(record.subset.mask_folder), record)
            state = FileState.at(path)
            demand_same_shape(path, self.memory.header(path, state).size, record)
        except (DataError, FileError) as error:
            return replace(picture, problem=sentence(error))
        return replace(picture, mask=key_of(path, state))

    def _placement(self, size: Size) -> Placement | DataError:
        if size not in self._placements:
            try:
                self._placements[size] = self._bucketing.placements([size])[0]
            except DataError as error:
                self._placements[size] = error
        return self._placements[size]


def below(folder: Path, path: Path) -> str:
    """What the page calls an image below a folder: `Path.relative_to` costs five times as much."""
    root, place = str(folder), str(path)
    if place.startswith(root) and place[len(root) : len(root) + 1] in ("/", os.sep):
        return place[len(root) + 1 :].replace(os.sep, "/")
    return path.relative_to(folder).as_posix()


def content_key(path: Path) -> str:
    """A name for the content that a file has now; "" if there is none."""
    try:
        return key_of(path, FileState.at(path))
    except FileError:
        return ""


def key_of(path: Path, state: FileState) -> str:
    """The same, where its state is known."""
    return hashlib.blake2b(repr((str(path), state)).encode("utf-8", "replace"), digest_size=12).hexdigest()


def sentence(error: DataError | FileError) -> str:
    """What is wrong, without the file that it stands beside."""
    told = type(error)(error.what.rstrip("."), got=error.got, expected=error.expected, remedy=error.remedy)
    return one_line(told)


def _advice(size: Size, placement: Placement) -> str:
    factor = placement.resized[0] / size[0]
    if factor > _ENLARGED:
        return f"It is small: {factor:.1f} times enlarged for its bucket."
    shown = placement.bucket[0] * placement.bucket[1] / (placement.resized[0] * placement.resized[1])
    return f"The crop takes {1 - shown:.0%} of it away." if 1 - shown > _CUT else ""
