"""What a run would read from a folder of images, with what is wrong with each of them.

Which images and captions count, their sizes, buckets and crops are the training core's own answers; the
difference is that one unreadable file does not hide the others.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

from lib_lyco.errors import DataError
from lib_lyco.studio.dataset.picture import Picture
from lib_lyco.studio.dataset.reader import Memory, Reader
from lib_lyco.studio.dataset.tags import Grammar
from lib_lyco.train.compose.datasets import subset_options
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.train.data.caption import EXTENSIONS as CAPTION_EXTENSIONS
from lib_lyco.train.data.folder import EXCLUDED, ListedFolder, list_folder
from lib_lyco.train.option import declarations
from lib_lyco.train.options.subset import DatasetOptions, SubsetOptions

_OWN = ("images", "metadata_file")
_BESIDE = ("background", "weighted_captions", "latent_cache")
_SHOWN = 4


@dataclass(frozen=True)
class Listing:
    """The images of a folder, those that are excluded last."""

    folder: Path
    pictures: Mapping[str, Picture]
    """By name."""
    notes: tuple[str, ...]
    grammar: Grammar
    metadata_file: Path | None = None
    """The file that the captions are in, if they are not beside their images."""

    @property
    def used(self) -> Iterator[Picture]:
        """Those that are trained on."""
        return (picture for picture in self.pictures.values() if not picture.excluded)

    @cached_property
    def counts(self) -> Counter[str]:
        """How many captions each tag is in; a picture has each once."""
        return Counter(chain.from_iterable(picture.tags for picture in self.used))

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


def view_config(folder: Path, values: Mapping[str, Any], metadata_file: Path | None = None) -> TrainConfig:
    """A run's config as far as it decides what becomes of the images of one folder.

    Raises:
        ConfigError: One of its values cannot work.
    """
    known = {one.name for kind in (DatasetOptions, SubsetOptions) for one in declarations(kind)}
    heeded = (known | set(_BESIDE)) - set(_OWN)
    own = {"images": str(folder), "metadata_file": str(metadata_file or "")}
    return make_config({**own, **{key: values[key] for key in values if key in heeded}})


def read_listing(config: TrainConfig, memory: Memory, most: int | None = None) -> Listing:
    """Reads the folder that a config names.

    Args:
        config: The options.
        memory: Of what was read before.
        most: How many images to read, of those that are first; None: all.

    Raises:
        DataError: The folder is missing, or holds no image, not even an excluded one.
    """
    folder, options = Path(config.images), subset_options(config)
    reader = Reader(folder, config, memory)
    excluded = [one for place in _excluded_folders(folder) for one in _listed(place, options)]
    try:
        listed, notes = list_folder(folder, options)
    except DataError:
        if not excluded:
            raise
        listed, notes = (), ()
    found = chain(
        (picture for one in listed for picture in reader.pictures(one)),
        (replace(picture, excluded=True) for one in excluded for picture in reader.pictures(one)),
    )
    pictures = {picture.name: picture for picture in islice(found, most)}
    strange = [note for one in listed if (note := _strangers(one))]
    return Listing(folder, pictures, (*notes, *strange), reader.grammar)


def reread(listing: Listing, config: TrainConfig, memory: Memory, pictures: Iterable[Picture]) -> Listing:
    """A listing after captions of some of its images have changed, and nothing else."""
    reader = Reader(listing.folder, config, memory)
    by_folder: dict[tuple[Path, SubsetOptions], list[tuple[str, str | None]]] = {}
    for picture in pictures:
        if picture.record is not None:
            caption = picture.caption_file.name if picture.caption_file.is_file() else None
            place = picture.path.parent, picture.record.subset
            by_folder.setdefault(place, []).append((picture.path.name, caption))
    found = dict(listing.pictures)
    for (folder, options), images in by_folder.items():
        for changed in reader.pictures(ListedFolder(folder, options, tuple(images))):
            is_out = found[changed.name].excluded
            found[changed.name] = replace(changed, excluded=True) if is_out else changed
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
