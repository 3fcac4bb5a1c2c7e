"""Captions for many images, made by a tagger, as a job that can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from lib_lyco.errors import LycoError, one_line
from lib_lyco.studio.dataset.edits import new_group, text_step
from lib_lyco.studio.dataset.history import Step
from lib_lyco.studio.dataset.job import Job
from lib_lyco.studio.dataset.listing import Listing
from lib_lyco.studio.dataset.picture import Picture
from lib_lyco.studio.dataset.tagger import Look, Tagger, Wish
from lib_lyco.studio.dataset.tags import added, deduped, led_by
from lib_lyco.train.data.image import read_picture

_WHITE = (255, 255, 255)
_OWN = ("file", "metadata")
"""Where captions are that are an image's own."""
_BATCH = 20
"""Captions that are written at a time: all that a crash can lose."""


def tag_pictures(
    job: Job,
    tagger: Tagger,
    pictures: Sequence[Picture],
    captions: Captions,
) -> Mapping[str, Any]:
    """Looks at images and writes their captions; undo takes all of them back together.

    Args:
        job: Is told of the progress, and says when to stop.
        tagger: Looks at them.
        pictures: The images.
        captions: Makes them and writes them.

    Raises:
        LycoError: The tagger cannot be loaded, or a caption cannot be written.
    """
    written = 0
    with tagger.open() as look:
        texts = _texts(job, look, pictures, captions)
        while batch := dict(islice(texts, _BATCH)):
            captions.write(batch, f"Captions by {tagger.title}")
            written += len(batch)
    return {"written": written}


class Captions:
    """How captions are made of guesses, and where they go.

    Args:
        wish: What the user wants.
        listing: The images, and how a caption is made of tags.
        keep: Makes a step.
    """

    def __init__(self, wish: Wish, listing: Listing, keep: Callable[[Step], None]) -> None:
        self.wish = wish
        self._listing = listing
        self._keep = keep
        self._group = new_group()

    def wants(self, picture: Picture) -> bool:
        """Whether an image is to be looked at at all."""
        return self.wish.mode != "keep" or not _has_caption(picture)

    def text(self, picture: Picture, look: Look) -> str:
        """The caption of an image."""
        found = self.wish.tags(look(read_picture(picture.path, _WHITE).image))
        own = picture.tags if self.wish.mode == "append" and _has_caption(picture) else ()
        return self._listing.grammar.join(led_by(deduped(added(own, found)), self.wish.trigger))

    def write(self, texts: Mapping[str, str], label: str) -> None:
        """Writes captions, by the names of images; undo takes all of them back together."""
        self._keep(text_step(self._listing, texts, label, self._group))


def _has_caption(picture: Picture) -> bool:
    return picture.record is not None and picture.record.caption_source in _OWN and bool(picture.tags)


def _texts(
    job: Job, look: Look, pictures: Sequence[Picture], captions: Captions
) -> Iterator[tuple[str, str]]:
    """Name and caption of each image that is looked at."""
    for number, picture in enumerate(pictures):
        if not job.goes_on(number):
            return
        if not captions.wants(picture):
            continue
        try:
            yield picture.name, captions.text(picture, look)
        except LycoError as error:
            told = replace_where(error, picture.name)
            job.notes.append(one_line(told))
    job.goes_on(len(pictures))


def replace_where(error: LycoError, where: str) -> LycoError:
    """The error with the image's name in the place of its path."""
    return type(error)(error.what, where=where, got=error.got, expected=error.expected, remedy=error.remedy)
