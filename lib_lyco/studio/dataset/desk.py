"""The folders that pages look at: what is in them, and every change of them, one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from lib_lyco.errors import ConfigError
from lib_lyco.studio.dataset.duplicates import doubles_json, find_doubles
from lib_lyco.studio.dataset.edits import caption_step, exclusion_step, text_step
from lib_lyco.studio.dataset.history import History, Step
from lib_lyco.studio.dataset.job import Job, Jobs
from lib_lyco.studio.dataset.listing import Listing, Memory, Picture, read_listing, reread, view_config
from lib_lyco.studio.dataset.masks import default_mask_folder, make_masks
from lib_lyco.studio.dataset.tagger import Tagger, Taggers, Wish
from lib_lyco.studio.dataset.tagging import Captions, tag_pictures
from lib_lyco.studio.dataset.tags import ChangeLine
from lib_lyco.studio.dataset.thumbnails import Thumbnails
from lib_lyco.studio.rights import Rights
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.data.image import parse_colour


@dataclass(frozen=True)
class View:
    """What a page looks at: a folder, with the options that decide what becomes of its images."""

    folder: Path
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Edited:
    """What became of a change of captions."""

    listing: Listing
    pictures: Sequence[Picture]
    """Those whose captions may have changed."""
    skipped: Sequence[str]
    """Names of those whose captions cannot be read, and stay."""


class DatasetDesk:
    """Reads and changes folders of images.

    Args:
        rights: Which of them may be read and written.
        data: A folder of ours: thumbnails, histories, uploads.
        taggers: What can look at images, asked each time.
    """

    def __init__(self, rights: Rights, data: Path, taggers: Taggers) -> None:
        self.thumbnails = Thumbnails(data / "thumbnails")
        self.uploads = data / "images"
        self.jobs = Jobs()
        self.rights = rights
        self._histories = data / "history"
        self._taggers = taggers
        self._memory = Memory()
        self._last: tuple[TrainConfig, Listing] | None = None
        self._lock = RLock()

    def view(self, folder: str, values: Mapping[str, Any]) -> View:
        """The view of a folder.

        Raises:
            ConfigError: No folder is named.
            LycoError: It may not be read.
        """
        if not folder.strip():
            raise ConfigError(
                "There are no images to look at.", where="images", remedy="Name a folder of images."
            )
        return View(self.rights.demand_path(folder.strip()), values)

    def listing(self, view: View) -> Listing:
        """What is in a folder now. Raises as `read_listing`."""
        config = view_config(view.folder, view.values)
        if config.mask_folder:
            self.rights.demand_path(config.mask_folder)
        listing = read_listing(config, self._memory)
        self._last = config, listing
        return listing

    def _known(self, view: View) -> Listing:
        """The listing that was read last, if it is of this view: captions are read anew before they are
        changed, and thousands of other files need not be looked at for each of them."""
        last = self._last
        return last[1] if last and last[0] == view_config(view.folder, view.values) else self.listing(view)

    def history(self, view: View) -> History:
        """The steps of a folder, for reading."""
        return History(view.folder, self._histories)

    def change(self, view: View, names: Sequence[str], change: ChangeLine, label: str) -> Edited:
        """Changes captions.

        Raises:
            LycoError: The folder may not be written, or a file cannot be.
        """
        with self._lock:
            listing = self._known(view)
            step, skipped = caption_step(listing, listing.chosen(names), change, label)
            return self._edited(view, listing, names, step, skipped)

    def write(self, view: View, name: str, text: str) -> Edited:
        """Writes one caption anew. Raises as `change`."""
        with self._lock:
            listing = self._known(view)
            (picture,) = listing.chosen([name])
            return self._edited(view, listing, [name], text_step(picture, text), [])

    def _edited(
        self, view: View, listing: Listing, names: Sequence[str], step: Step, skipped: Sequence[str]
    ) -> Edited:
        self._do(view, step)
        config = view_config(view.folder, view.values)
        listing = reread(listing, config, self._memory, _same_captions(listing, names))
        self._last = config, listing
        return Edited(listing, _same_captions(listing, names), skipped)

    def exclude(self, view: View, names: Sequence[str], excluded: bool) -> None:
        """Puts images aside, or takes them back. Raises as `change`."""
        with self._lock:
            listing = self.listing(view)
            self._do(view, exclusion_step(listing.chosen(names), listing, excluded))

    def undo(self, view: View) -> None:
        """Takes the last change back. Raises as `History.undo`."""
        with self._lock:
            self.rights.demand_path(view.folder, "images")
            self.history(view).undo()

    def redo(self, view: View) -> None:
        """Makes it again. Raises as `History.undo`."""
        with self._lock:
            self.rights.demand_path(view.folder, "images")
            self.history(view).redo()

    def make_masks(self, view: View, names: Sequence[str]) -> tuple[Path, int, int]:
        """Makes masks of alpha channels: their folder, how many were made, and how many were there.

        Raises:
            LycoError: The folder may not be written, or a file cannot be.
        """
        listing = self.listing(View(view.folder, {**view.values, "mask_folder": ""}))
        named = str(view.values.get("mask_folder", "")).strip()
        folder = self.rights.demand_path(named or default_mask_folder(view.folder), "mask_folder")
        return folder, *make_masks(listing.chosen(names), folder)

    def find_doubles(self, view: View) -> Job:
        """Begins to look for images that are there twice. Raises DataError if another job runs."""
        pictures = [picture for picture in self.listing(view).used if picture.record is not None]
        background = parse_colour(view_config(view.folder, view.values).background)

        def thumbnail(picture: Picture) -> bytes:
            return self.thumbnails.read(picture.path, picture.key, background)

        return self.jobs.start(
            Job("duplicates", len(pictures)),
            lambda job: doubles_json(find_doubles(pictures, thumbnail, job.goes_on)),
        )

    @property
    def taggers(self) -> Sequence[Tagger]:
        """What can look at images here, also what cannot be used now."""
        return self._taggers()

    def tag(self, view: View, names: Sequence[str], tagger_id: str, wish: Wish) -> Job:
        """Begins to make captions.

        Raises:
            ConfigError: There is no such tagger, or it cannot be used.
            LycoError: The folder may not be written, or another job runs.
        """
        self.rights.demand_path(view.folder, "images")
        tagger = next((one for one in self.taggers if one.id == tagger_id), None)
        if tagger is None or tagger.problem:
            raise ConfigError("This tagger cannot be used.", got=tagger.problem if tagger else tagger_id)
        listing = self.listing(view)
        pictures = [picture for picture in listing.chosen(names) if picture.record is not None]
        captions = Captions(wish, listing.grammar, lambda step: self._keep(view, step))
        return self.jobs.start(
            Job("captions", len(pictures)), lambda job: tag_pictures(job, tagger, pictures, captions)
        )

    def _keep(self, view: View, step: Step) -> None:
        with self._lock:
            self._do(view, step)

    def _do(self, view: View, step: Step) -> None:
        self.rights.demand_path(view.folder, "images")
        self.history(view).do(step)


def _same_captions(listing: Listing, names: Iterable[str]) -> list[Picture]:
    """The images whose captions are in the same files as those of some."""
    files = {listing.pictures[name].caption_file for name in names}
    return [picture for picture in listing.pictures.values() if picture.caption_file in files]
