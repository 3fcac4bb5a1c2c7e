"""What a run would read from a folder of images, with what is wrong with each of them.

Which images and captions count, their sizes, buckets and crops are the training core's own answers; the
difference is that one unreadable file does not hide the others.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lib_lyco.errors import DataError, FileError, one_line
from lib_lyco.files.identity import FileState
from lib_lyco.studio.dataset.tags import Grammar
from lib_lyco.train.compose.datasets import bucketing_of, subset_options
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.train.data.bucket import Bucketing, Placement, Size
from lib_lyco.train.data.caption import EXTENSIONS as CAPTION_EXTENSIONS
from lib_lyco.train.data.caption import read_text
from lib_lyco.train.data.folder import EXCLUDED, ListedFolder, list_folder, read_record
from lib_lyco.train.data.mask import demand_masks
from lib_lyco.train.data.record import ImageRecord
from lib_lyco.train.option import declarations
from lib_lyco.train.options.subset import DatasetOptions, SubsetOptions

_ENLARGED, _CUT = 1.5, 0.25
"""From which factor, and from which share that a crop takes away, the user is told."""
_OWN = ("images", "metadata_file")
_BESIDE = ("background", "weighted_captions", "latent_cache")
_SHOWN = 4
_REPEATS = 10.0
"""Of images in folders where nothing says, as `repeats` declares."""


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
    text: str = ""
    """All that stands in the caption file; without one, what training takes in its place."""
    tags: tuple[str, ...] = ()
    placement: Placement | None = None
    repeats: float = 1.0
    excluded: bool = False
    mask: bool = False
    """Whether a part of it counts less."""
    problem: str = ""
    """Why training would refuse it."""
    advice: str = ""


@dataclass(frozen=True)
class Listing:
    """The images of a folder, those that are excluded last."""

    folder: Path
    pictures: Mapping[str, Picture]
    """By name."""
    notes: tuple[str, ...]
    grammar: Grammar

    @property
    def used(self) -> Iterator[Picture]:
        """Those that are trained on."""
        return (picture for picture in self.pictures.values() if not picture.excluded)

    def chosen(self, names: Sequence[str]) -> list[Picture]:
        """Some of them.

        Raises:
            DataError: There is none of that name any more.
        """
        for name in names:
            if name not in self.pictures:
                raise DataError(
                    "There is no such image any more.", where=name, remedy="Open the folder again."
                )
        return [self.pictures[name] for name in names]


class Memory:
    """Pictures that were read, as long as their files and the options stay the same."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[_State, Picture]] = {}

    def get(self, path: Path, state: _State) -> Picture | None:
        """The picture of an image in this state; None if it is not known."""
        known = self._known.get(path)
        return known[1] if known and known[0] == state else None

    def put(self, path: Path, state: _State, picture: Picture) -> None:
        """Remembers one."""
        self._known[path] = state, picture


@dataclass(frozen=True)
class _State:
    """All that decides what is told of an image."""

    options: str
    image: FileState
    caption: FileState | None


def view_config(folder: Path, values: Mapping[str, Any]) -> TrainConfig:
    """A run's config as far as it decides what becomes of the images of one folder.

    Raises:
        ConfigError: One of its values cannot work.
    """
    known = {one.name for kind in (DatasetOptions, SubsetOptions) for one in declarations(kind)}
    heeded = (known | set(_BESIDE)) - set(_OWN)
    return make_config({"images": str(folder), **{key: values[key] for key in values if key in heeded}})


def read_listing(config: TrainConfig, memory: Memory) -> Listing:
    """Reads the folder that a config names.

    Raises:
        DataError: The folder is missing, or holds no image, not even an excluded one.
    """
    folder, options = Path(config.images), subset_options(config)
    reader = _Reader(folder, config, memory)
    excluded = [one for place in _excluded_folders(folder) for one in _listed(place, options)]
    try:
        listed, notes = list_folder(folder, options)
    except DataError:
        if not excluded:
            raise
        listed, notes = (), ()
    found = [picture for one in listed for picture in reader.pictures(one)]
    found += [replace(picture, excluded=True) for one in excluded for picture in reader.pictures(one)]
    strange = [note for one in listed if (note := _strangers(one))]
    pictures = {picture.name: picture for picture in found}
    return Listing(folder, pictures, (*notes, *strange), reader.grammar)


def reread(listing: Listing, config: TrainConfig, memory: Memory, pictures: Sequence[Picture]) -> Listing:
    """A listing after captions of some of its images have changed, and nothing else."""
    reader = _Reader(listing.folder, config, memory)
    found = dict(listing.pictures)
    for picture in pictures:
        if picture.record is None:
            continue
        caption = picture.caption_file.name if picture.caption_file.is_file() else None
        listed = ListedFolder(picture.path.parent, picture.record.subset, ((picture.path.name, caption),))
        for changed in reader.pictures(listed):
            found[picture.name] = replace(changed, excluded=picture.excluded)
    return replace(listing, pictures=found)


def _excluded_folders(folder: Path) -> list[Path]:
    below = sorted(Path(one.path) for one in os.scandir(folder) if one.is_dir()) if folder.is_dir() else []
    places = [one / EXCLUDED for one in (folder, *below) if one.name != EXCLUDED]
    return [place for place in places if place.is_dir()]


def _listed(folder: Path, options: SubsetOptions) -> tuple[ListedFolder, ...]:
    try:
        return list_folder(folder, options, by_name=False)[0]
    except DataError:  # it is empty
        return ()


def _strangers(listed: ListedFolder) -> str:
    """A note on files that are neither images nor captions."""
    images = {name for name, _ in listed.images}
    ends = {listed.options.caption_extension.lower(), *CAPTION_EXTENSIONS}
    with os.scandir(listed.path) as entries:
        others = sorted(
            entry.name
            for entry in entries
            if entry.is_file() and entry.name not in images and not entry.name.startswith(".")
            if os.path.splitext(entry.name)[1].lower() not in ends
        )
    if not others:
        return ""
    more = ", ..." if len(others) > _SHOWN else ""
    return f"{listed.path.name}: neither images nor captions: {', '.join(others[:_SHOWN])}{more}."


class _Reader:
    """Makes pictures of listed files."""

    def __init__(self, folder: Path, config: TrainConfig, memory: Memory) -> None:
        self.grammar = Grammar.of(config)
        self._folder = folder
        self._config = config
        self._memory = memory
        self._bucketing = bucketing_of(config)
        self._placements: dict[Size, Placement | DataError] = {}

    def pictures(self, listed: ListedFolder) -> Iterator[Picture]:
        """The pictures of one folder."""
        options = repr((self._config, listed.options))
        for name, caption_file in listed.images:
            path = listed.path / name
            try:
                caption_state = FileState.at(listed.path / caption_file) if caption_file else None
                state = _State(options, FileState.at(path), caption_state)
            except FileError:
                continue  # it was deleted this moment
            picture = self._memory.get(path, state)
            if picture is None:
                picture = self._read(listed, name, caption_file, state.image)
                self._memory.put(path, state, picture)
            yield self._with_mask(picture)

    def _read(self, listed: ListedFolder, name: str, caption_file: str | None, state: FileState) -> Picture:
        path, repeats = listed.path / name, listed.options.repeats
        extension = self._config.caption_extension or CAPTION_EXTENSIONS[0]
        picture = Picture(
            name=path.relative_to(self._folder).as_posix(),
            path=path,
            key=_key(path, state),
            caption_file=listed.path / caption_file if caption_file else path.with_suffix(extension),
            record=None,
            repeats=_REPEATS if repeats is None else repeats,
        )
        try:
            record = read_record(listed, name, caption_file)
            return self._placed(replace(picture, record=record, text=_text(picture, record)))
        except (DataError, FileError) as error:
            return replace(picture, problem=_sentence(error))

    def _placed(self, picture: Picture) -> Picture:
        record = picture.record
        assert record is not None
        picture = replace(picture, tags=tuple(self.grammar.tags_of(record.caption)))
        placement = self._placement(self._bucketing, record.size)
        if isinstance(placement, DataError):
            return replace(picture, problem=_sentence(placement))
        return replace(picture, placement=placement, advice=_advice(record.size, placement))

    def _with_mask(self, picture: Picture) -> Picture:
        """A mask may come and go without its image's doing."""
        record = picture.record
        if record is None or not (record.subset.mask_folder or record.subset.alpha_mask):
            return picture
        try:
            demand_masks([record])
        except DataError as error:
            return replace(picture, problem=_sentence(error))
        mask = bool(record.subset.mask_folder) or (record.subset.alpha_mask and record.transparent)
        return replace(picture, mask=mask)

    def _placement(self, bucketing: Bucketing, size: Size) -> Placement | DataError:
        if size not in self._placements:
            try:
                self._placements[size] = bucketing.placements([size])[0]
            except DataError as error:
                self._placements[size] = error
        return self._placements[size]


def content_key(path: Path) -> str:
    """A name for the content that a file has now; "" if there is none."""
    try:
        return _key(path, FileState.at(path))
    except FileError:
        return ""


def _key(path: Path, state: FileState) -> str:
    return hashlib.blake2b(repr((str(path), state)).encode("utf-8", "replace"), digest_size=12).hexdigest()


def _text(picture: Picture, record: ImageRecord) -> str:
    return read_text(picture.caption_file).rstrip() if record.caption_source == "file" else record.caption


def _advice(size: Size, placement: Placement) -> str:
    factor = placement.resized[0] / size[0]
    if factor > _ENLARGED:
        return f"It is small: {factor:.1f} times enlarged for its bucket."
    shown = placement.bucket[0] * placement.bucket[1] / (placement.resized[0] * placement.resized[1])
    return f"The crop takes {1 - shown:.0%} of it away." if 1 - shown > _CUT else ""


def _sentence(error: DataError | FileError) -> str:
    """What is wrong, without the file that it stands beside."""
    told = type(error)(error.what.rstrip("."), got=error.got, expected=error.expected, remedy=error.remedy)
    return one_line(told)
