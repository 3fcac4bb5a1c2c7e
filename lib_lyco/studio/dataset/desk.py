"""The folders that pages look at: what is in them, and every change of them, one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import Any

from PIL import Image

from lib_lyco.errors import ConfigError, DataError, LycoError, one_line
from lib_lyco.studio.dataset.actions import Context
from lib_lyco.studio.dataset.duplicates import Look, Looks, doubles_json, find_doubles
from lib_lyco.studio.dataset.edits import caption_step, exclusion_step, new_group, text_step
from lib_lyco.studio.dataset.history import Change, History, Step, Write
from lib_lyco.studio.dataset.job import Job, Jobs
from lib_lyco.studio.dataset.listing import Listing, read_listing, reread, view_config
from lib_lyco.studio.dataset.masks import default_mask_folder, make_masks, mask_change
from lib_lyco.studio.dataset.metadata import read_metadata
from lib_lyco.studio.dataset.picture import Picture
from lib_lyco.studio.dataset.reader import Memory
from lib_lyco.studio.dataset.tagger import Category, Tagger, Taggers, Wish
from lib_lyco.studio.dataset.tagging import Captions, replace_where, tag_pictures
from lib_lyco.studio.dataset.tags import ChangeLine
from lib_lyco.studio.dataset.telling import Told, tell
from lib_lyco.studio.dataset.thumbnails import Thumbnails
from lib_lyco.studio.rights import Rights
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.data.image import Colour, parse_colour
from lib_lyco.train.data.source import ordered_map

_THREADS = 4


@dataclass(frozen=True)
class View:
    """What a page looks at: a folder, with the options that decide what becomes of its images."""

    folder: Path
    values: Mapping[str, Any]
    metadata_file: Path | None = None
    """The file that the captions are in, if they are not beside their images."""

    @property
    def config(self) -> TrainConfig:
        """The options. Raises ConfigError where one of them cannot work."""
        return view_config(self.folder, self.values, self.metadata_file)


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
        self._looks = Looks()
        self._last: tuple[TrainConfig, Listing] | None = None
        self._told: Told | None = None
        self._lock = RLock()

    def view(self, folder: str, values: Mapping[str, Any], metadata_file: str = "") -> View:
        """The view of a folder.

        Raises:
            ConfigError: No folder is named.
            LycoError: It may not be read.
        """
        folder, metadata_file = folder.strip(), metadata_file.strip()
        file = self.rights.demand_path(metadata_file, "metadata_file") if metadata_file else None
        if not folder and file is None:
            raise ConfigError(
                "There are no images to look at.", where="images", remedy="Name a folder of images."
            )
        # a metadata file alone names its images by whole paths
        return View(self.rights.demand_path(folder) if folder else Path(), values, file)

    def listing(self, view: View, most: int | None = None) -> Listing:
        """What is in a folder now; so many of the first images. Raises as `read_listing`."""
        config = view.config
        if config.mask_folder:
            self.rights.demand_path(config.mask_folder)
        if view.metadata_file is None:
            listing = read_listing(config, self._memory, most)
        else:
            listing = read_metadata(config, self._memory, most)
            self.rights.demand_path(listing.folder, "metadata_file")
        if most is None:
            self._last = config, listing
        return listing

    def _known(self, view: View) -> Listing:
        """The listing that was read last, if it is of this view: captions are read anew before they are
        changed, and thousands of other files need not be looked at for each of them."""
        last = self._last
        return last[1] if last and last[0] == view.config else self.listing(view)

    def tell(self, view: View, mark: str) -> dict[str, Any]:
        """What a page has to be told of the listing that was read last.

        Args:
            view: Of the page.
            mark: What the page knows, by the mark that it was told.
        """
        with self._lock:
            seen = self._told if self._told and self._told.mark == mark else None
            self._told, told = tell(self._known(view), self.history(view), seen)
            return told

    def tell_first(self, view: View, most: int) -> dict[str, Any]:
        """The first images of a folder, until all of them are read."""
        return tell(self.listing(view, most), self.history(view))[1]

    def history(self, view: View) -> History:
        """The steps of a folder, for reading."""
        return History(view.metadata_file or view.folder, self._histories)

    def change(self, view: View, names: Sequence[str], change: ChangeLine, label: str) -> Sequence[str]:
        """Changes captions; the names of those that cannot be read, and stay.

        Raises:
            LycoError: The folder may not be written, or a file cannot be.
        """
        with self._lock:
            listing = self._known(view)
            step, skipped = caption_step(listing, listing.chosen(names), change, label)
            self._do(view, step)
            self._reread(view, listing, _sharing(listing, names))
            return skipped

    def write(self, view: View, texts: Mapping[str, str], label: str) -> None:
        """Writes captions anew, by the names of images. Raises as `change`."""
        with self._lock:
            listing = self._known(view)
            self._do(view, text_step(listing, texts, label))
            self._reread(view, listing, _sharing(listing, texts))

    def context(self, view: View) -> Context:
        """What actions may need to know. Raises as `listing`."""
        listing = self._known(view)
        return Context(listing.grammar, view.config.keep_tokens, listing.counts, self._kinds)

    def _kinds(self, tagger_id: str) -> Mapping[str, Category]:
        return self._tagger(tagger_id).kinds()

    def exclude(self, view: View, names: Sequence[str], excluded: bool) -> None:
        """Puts images aside, or takes them back. Raises as `change`."""
        with self._lock:
            if view.metadata_file is not None:
                raise DataError(
                    "A metadata file names all its images.", remedy="Remove from it what shall be left out."
                )
            listing = self.listing(view)
            self._do(view, exclusion_step(listing.chosen(names), listing, excluded))
            self.listing(view)

    def undo(self, view: View) -> None:
        """Takes the last change back. Raises as `History.undo`."""
        with self._lock:
            self._demand_writable(view)
            self._after(view, self._known(view), self.history(view).undo())

    def redo(self, view: View) -> None:
        """Makes it again. Raises as `History.undo`."""
        with self._lock:
            self._demand_writable(view)
            self._after(view, self._known(view), self.history(view).redo())

    def _after(self, view: View, listing: Listing, changes: Sequence[Change]) -> None:
        """Reads what changes may have changed."""
        files = {change.path for change in changes}
        changed = [one for one in listing.pictures.values() if one.caption_file in files]
        is_all = files == {one.caption_file for one in changed}
        if is_all and all(isinstance(change, Write) for change in changes):
            self._reread(view, listing, [one.name for one in changed])
        else:
            self.listing(view)

    def _reread(self, view: View, listing: Listing, names: Sequence[str]) -> None:
        config = view.config
        pictures = [listing.pictures[name] for name in names]
        if view.metadata_file is None:
            self._last = config, reread(listing, config, self._memory, pictures)
        else:
            self.listing(view)

    def make_masks(self, view: View, names: Sequence[str]) -> tuple[Path, int, int]:
        """Makes masks of alpha channels: their folder, how many were made, and how many were there.

        Raises:
            LycoError: The folder may not be written, or a file cannot be.
        """
        listing = self.listing(replace(view, values={**view.values, "mask_folder": ""}))
        folder = self._mask_folder(view, listing)
        return folder, *make_masks(listing.chosen(names), folder)

    def draw_mask(self, view: View, name: str, drawn: Image.Image) -> Path:
        """Keeps the mask that was drawn for an image: the folder of masks. Where there was none, all other
        images get masks too, since training demands them.

        Raises:
            DataError: There is no such image, or it cannot be read.
            LycoError: The folder may not be written, or a file cannot be.
        """
        with self._lock:
            listing = self._known(view)
            (picture,) = listing.chosen([name])
            if picture.record is None:
                raise DataError("An image cannot be read.", where=name)
            folder = self._mask_folder(view, listing)
            change = mask_change(picture.record, folder, drawn)
            self._do(view, Step(f"Mask of {name}", new_group(), [change]))
            if not view.config.mask_folder:
                make_masks(listing.used, folder)
            return folder

    def _mask_folder(self, view: View, listing: Listing) -> Path:
        named = str(view.values.get("mask_folder", "")).strip()
        return self.rights.demand_path(named or default_mask_folder(listing.folder), "mask_folder")

    def find_doubles(self, view: View) -> Job:
        """Begins to look for images that are there twice. Raises DataError if another job runs."""
        pictures = [picture for picture in self.listing(view).used if picture.record is not None]
        background = parse_colour(view.config.background)
        return self.jobs.start(
            Job("duplicates", len(pictures)), lambda job: self._doubles(job, pictures, background)
        )

    def _doubles(self, job: Job, pictures: Sequence[Picture], background: Colour) -> Mapping[str, Any]:
        def look(picture: Picture) -> Look | LycoError:
            try:
                return self._looks.of(picture.path, picture.key, background)
            except LycoError as error:
                return error

        seen: list[Picture] = []
        looks: list[Look] = []
        found = zip(pictures, ordered_map(look, pictures, _THREADS), strict=False)
        for number, (picture, one) in enumerate(found):
            if not job.goes_on(number):
                break
            if isinstance(one, LycoError):
                job.notes.append(one_line(replace_where(one, picture.name)))
            else:
                seen.append(picture)
                looks.append(one)
        return doubles_json(find_doubles(seen, looks))

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
        self._demand_writable(view)
        tagger = self._tagger(tagger_id)
        if tagger.problem:
            raise ConfigError("This tagger cannot be used.", got=tagger.problem)
        listing = self.listing(view)
        pictures = [picture for picture in listing.chosen(names) if picture.record is not None]
        captions = Captions(wish, listing, lambda step: self._keep(view, step))
        return self.jobs.start(
            Job("captions", len(pictures)), lambda job: tag_pictures(job, tagger, pictures, captions)
        )

    def _tagger(self, tagger_id: str) -> Tagger:
        tagger = next((one for one in self.taggers if one.id == tagger_id), None)
        if tagger is None:
            raise ConfigError("This tagger cannot be used.", got=tagger_id)
        return tagger

    def _keep(self, view: View, step: Step) -> None:
        with self._lock:
            self._do(view, step)

    def _do(self, view: View, step: Step) -> None:
        self._demand_writable(view)
        self.history(view).do(step)

    def _demand_writable(self, view: View) -> None:
        self.rights.demand_path(view.metadata_file or view.folder, "images")


def _sharing(listing: Listing, names: Iterable[str]) -> list[str]:
    """The images whose captions are in the same files as those of some."""
    files = {picture.caption_file for picture in listing.chosen(list(names))}
    return [picture.name for picture in listing.pictures.values() if picture.caption_file in files]
