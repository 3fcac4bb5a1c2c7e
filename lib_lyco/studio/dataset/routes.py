"""The routes of the section Dataset, below `/lyco/train/dataset/`.

A POST carries `folder`, `metadata_file` if captions are in one, and `config` (the options that differ from
their defaults), and mostly `names` of images as `list` gave them; a GET has `folder` and `name` in its
address. What `list` and its like answer has a `mark`. A page that sends it back is told only what is
another since then: images with what has changed of them, and tags with other counts (`telling.tell`).

| route | asks | answers |
| --- | --- | --- |
| POST `list` | `mark`, or `first`: how many | `mark folder metadata_file images tags buckets ...` |
| POST `edit` | `mark names action`, what it needs | the same, and `skipped` |
| POST `undo`, `redo`, `exclude` | `mark names excluded` | the same |
| POST `masks` | `names` | `mask_folder made kept` |
| POST `draw` | `name`, `mask`: a PNG as `data:...` | `mask_folder` |
| POST `duplicates`, `tag` | `names tagger wish` | a job |
| GET `job`, POST `job/stop` | | `job`: null, or `id kind total done state problem notes result` |
| GET `taggers` | | `taggers`: `id title problem sentences kinds` |
| POST `upload` | a file; `folder name set` in the address | `folder saved refused` |
| GET `thumbnail`, `picture` | `folder name key background` in the address | a picture |
| GET `overlay`, `mask` | `folder name mask_folder alpha_mask metadata_file` | red or gray |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from PIL import Image

from lib_lyco.errors import ConfigError, DataError, LycoError
from lib_lyco.studio.dataset.actions import edit_of
from lib_lyco.studio.dataset.body import names_of, text_of, texts_by_name, wish_of
from lib_lyco.studio.dataset.desk import DatasetDesk, View
from lib_lyco.studio.dataset.job import Job
from lib_lyco.studio.dataset.masks import read_drawn, read_own_mask
from lib_lyco.studio.dataset.reader import content_key
from lib_lyco.studio.dataset.tagger import Tagger, Taggers
from lib_lyco.studio.dataset.thumbnails import LARGE, MEDIA_TYPE, mask_overlay, png, small_picture
from lib_lyco.studio.dataset.upload import receive, safe_name
from lib_lyco.studio.rights import Rights
from lib_lyco.train.data.header import read_header, readable_extensions
from lib_lyco.train.data.image import parse_colour
from lib_lyco.train.data.record import ImageRecord
from lib_lyco.train.options.subset import SubsetOptions
from lib_lyco.web.route import Ask, Content, Route

_ROOT = "/lyco/train/dataset"


def dataset_routes(rights: Rights, data: Path, taggers: Taggers) -> list[Route]:
    """All of them.

    Args:
        rights: Which folders may be read and written.
        data: A folder of ours for thumbnails, histories and uploads.
        taggers: What can look at images, asked each time.
    """
    answers = _Answers(DatasetDesk(rights, data, taggers))
    posts = ("list", "edit", "undo", "redo", "exclude", "masks", "draw", "duplicates", "tag")
    gets = ("thumbnail", "picture", "overlay", "mask", "taggers", "job")
    return [
        *(Route("POST", f"{_ROOT}/{name}", getattr(answers, name)) for name in posts),
        *(Route("GET", f"{_ROOT}/{name}", getattr(answers, name)) for name in gets),
        Route("POST", f"{_ROOT}/job/stop", answers.stop),
        Route("POST", f"{_ROOT}/upload", answers.upload, upload=True),
    ]


class _Answers:
    """Requests become calls of the desk."""

    def __init__(self, desk: DatasetDesk) -> None:
        self._desk = desk

    def list(self, ask: Ask) -> Mapping[str, Any]:
        view, most = self._view(ask), ask.body.get("first")
        if isinstance(most, int) and not isinstance(most, bool):
            return self._desk.tell_first(view, most)
        self._desk.listing(view)
        return self._told(ask, view)

    def edit(self, ask: Ask) -> Mapping[str, Any]:
        view, names, action = self._view(ask), names_of(ask.body), text_of(ask.body, "action")
        skipped: Sequence[str] = ()
        if action == "caption":
            self._desk.write(view, {names[0]: text_of(ask.body, "text")}, f"Caption of {names[0]}")
        elif action == "texts":
            texts = texts_by_name(ask.body, names)
            self._desk.write(
                view, texts, f"Find {text_of(ask.body, 'find')}, write {text_of(ask.body, 'with')}"
            )
        else:
            change, label = edit_of(action, ask.body, self._desk.context(view))
            skipped = self._desk.change(view, names, change, label)
        return {**self._told(ask, view), "skipped": [*skipped]}

    def undo(self, ask: Ask) -> Mapping[str, Any]:
        view = self._view(ask)
        self._desk.undo(view)
        return self._told(ask, view)

    def redo(self, ask: Ask) -> Mapping[str, Any]:
        view = self._view(ask)
        self._desk.redo(view)
        return self._told(ask, view)

    def exclude(self, ask: Ask) -> Mapping[str, Any]:
        view = self._view(ask)
        self._desk.exclude(view, names_of(ask.body), ask.body.get("excluded") is True)
        return self._told(ask, view)

    def masks(self, ask: Ask) -> Mapping[str, Any]:
        folder, made, kept = self._desk.make_masks(self._view(ask), names_of(ask.body))
        return {"mask_folder": str(folder), "made": made, "kept": kept}

    def draw(self, ask: Ask) -> Mapping[str, Any]:
        view, drawn = self._view(ask), read_drawn(text_of(ask.body, "mask"))
        folder = self._desk.draw_mask(view, text_of(ask.body, "name"), drawn)
        return {"mask_folder": str(folder)}

    def duplicates(self, ask: Ask) -> Mapping[str, Any]:
        return _job(self._desk.find_doubles(self._view(ask)))

    def tag(self, ask: Ask) -> Mapping[str, Any]:
        view, names, tagger = self._view(ask), names_of(ask.body), text_of(ask.body, "tagger")
        return _job(self._desk.tag(view, names, tagger, wish_of(ask.body)))

    def taggers(self, ask: Ask) -> Mapping[str, Any]:
        del ask
        return {
            "taggers": [
                {
                    "id": one.id,
                    "title": one.title,
                    "problem": one.problem,
                    "sentences": one.makes_sentences,
                    "kinds": _kinds(one),
                }
                for one in self._desk.taggers
            ]
        }

    def job(self, ask: Ask) -> Mapping[str, Any]:
        del ask
        return _job(self._desk.jobs.last)

    def stop(self, ask: Ask) -> Mapping[str, Any]:
        del ask
        job = self._desk.jobs.last
        if job is not None:
            job.stop()
        return _job(job)

    def upload(self, ask: Ask) -> Mapping[str, Any]:
        given = ask.given
        folder = Path(given["folder"]) if given.get("folder") else self._new_folder(given.get("set", ""))
        folder = self._desk.rights.demand_path(folder, "images")
        if ask.upload is None:
            raise ConfigError("There is no file in the upload.")
        received = receive(ask.upload, given.get("name", ""), folder)
        return {"folder": str(folder), "saved": received.saved, "refused": received.refused}

    def thumbnail(self, ask: Ask) -> Content:
        path = self._image(ask)
        key = content_key(path)
        made = self._desk.thumbnails.read(path, key, _background(ask))
        return Content(made, MEDIA_TYPE, keep=bool(key) and key == ask.given.get("key"))

    def picture(self, ask: Ask) -> Content:
        path = self._image(ask)
        key = content_key(path)
        return Content(
            small_picture(path, _background(ask), LARGE), MEDIA_TYPE, keep=key == ask.given.get("key")
        )

    def overlay(self, ask: Ask) -> Content:
        mask = self._mask(ask)
        if mask is None:
            raise DataError("All of this image counts.", where=ask.given.get("name", ""))
        return Content(mask_overlay(mask), "image/png")

    def mask(self, ask: Ask) -> Content:
        mask = self._mask(ask) or Image.new("L", (1, 1), 255)
        mask.thumbnail((LARGE, LARGE))
        return Content(png(mask), "image/png")

    def _mask(self, ask: Ask) -> Image.Image | None:
        """The mask of an image as the options in the address make it; None if all of it counts."""
        path = self._image(ask)
        masks, by_alpha = ask.given.get("mask_folder", ""), ask.given.get("alpha_mask") == "1"
        if masks:
            self._desk.rights.demand_path(masks, "mask_folder")
        options = SubsetOptions(mask_folder=masks, alpha_mask=by_alpha)
        header = read_header(path)
        folder = Path(ask.given.get("metadata_file") or path.parent).name
        return read_own_mask(
            ImageRecord(path, header.size, "", "none", folder, options, header.transparent)
        )

    def _new_folder(self, name: str) -> Path:
        place = safe_name(name.strip() or "images")
        if len(place.parts) != 1:
            raise ConfigError("This is no name for a set of images.", where="images", got=name)
        return self._desk.uploads / place

    def _view(self, ask: Ask) -> View:
        values = ask.body.get("config", {})
        if not isinstance(values, dict):
            raise ConfigError("config cannot be this", got=repr(values)[:80], expected="an object")
        folder, file = text_of(ask.body, "folder"), text_of(ask.body, "metadata_file")
        return self._desk.view(folder, cast(dict[str, Any], values), file)

    def _told(self, ask: Ask, view: View) -> Mapping[str, Any]:
        return self._desk.tell(view, text_of(ask.body, "mark"))

    def _image(self, ask: Ask) -> Path:
        """The image that an address means: one below its folder and with an image's extension.

        Raises:
            DataError: There is no such image.
            LycoError: It may not be read.
        """
        view = self._desk.view(ask.given.get("folder", ""), {})
        name = safe_below(ask.given.get("name", ""))
        path = view.folder / name
        if path.suffix.lower() not in readable_extensions() or not path.is_file():
            raise DataError("There is no such image any more.", where=name)
        return self._desk.rights.demand_path(path)


def safe_below(name: str) -> str:
    """A name of an image below a folder. Raises DataError where it leads out of it."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts or "\0" in name:
        raise DataError("There is no such image any more.", where=name)
    return name


def _kinds(tagger: Tagger) -> list[str]:
    """Of which its tags are; none where its list cannot be read, which is told when it is used."""
    try:
        return sorted(set(tagger.kinds().values()))
    except LycoError:
        return []


def _background(ask: Ask) -> tuple[int, int, int]:
    return parse_colour(ask.given.get("background") or "white")


def _job(job: Job | None) -> Mapping[str, Any]:
    return {"job": None if job is None else job.json()}
