"""Captions for many images, made by a tagger, as a job that can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from lib_lyco.errors import LycoError, one_line
from lib_lyco.studio.dataset.edits import new_group, text_step
from lib_lyco.studio.dataset.history import Step
from lib_lyco.studio.dataset.job import Job
from lib_lyco.studio.dataset.listing import Picture
from lib_lyco.studio.dataset.tagger import Look, Tagger, Wish
from lib_lyco.studio.dataset.tags import Grammar, added, deduped, led_by
from lib_lyco.train.data.image import read_picture

_WHITE = (255, 255, 255)
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
        captions: Makes the steps and keeps them.

    Raises:
        LycoError: The tagger cannot be loaded, or a caption cannot be written.
    """
    written = 0
    with tagger.open() as look:
        steps = _steps(job, look, pictures, captions)
        while batch := list(islice(steps, _BATCH)):
            changes = [change for step in batch for change in step.changes]
            captions.keep(Step(f"Captions by {tagger.title}", captions.group, changes))
            written += len(changes)
    return {"written": written}


class Captions:
    """How captions are made of guesses, and where they go.

    Args:
        wish: What the user wants.
        grammar: How a caption is made of tags.
        keep: Makes a step.
    """

    def __init__(self, wish: Wish, grammar: Grammar, keep: Callable[[Step], None]) -> None:
        self.wish = wish
        self.keep = keep
        self.group = new_group()
        self._grammar = grammar

    def wants(self, picture: Picture) -> bool:
        """Whether an image is to be looked at at all."""
        return self.wish.mode != "keep" or not _has_caption(picture)

    def step(self, picture: Picture, look: Look) -> Step:
        """The step that gives an image its caption."""
        assert picture.record is not None
        found = self.wish.tags(look(read_picture(picture.path, _WHITE).image))
        own = picture.tags if self.wish.mode == "append" and _has_caption(picture) else ()
        tags = led_by(deduped(added(own, found)), self.wish.trigger)
        return text_step(picture, self._grammar.join(tags))


def _has_caption(picture: Picture) -> bool:
    return picture.record is not None and picture.record.caption_source == "file" and bool(picture.tags)


def _steps(job: Job, look: Look, pictures: Sequence[Picture], captions: Captions) -> Iterator[Step]:
    for number, picture in enumerate(pictures):
        if not job.goes_on(number):
            return
        if not captions.wants(picture):
            continue
        try:
            yield captions.step(picture, look)
        except LycoError as error:
            told = replace_where(error, picture.name)
            job.notes.append(one_line(told))
    job.goes_on(len(pictures))


def replace_where(error: LycoError, where: str) -> LycoError:
    """The error with the image's name in the place of its path."""
    return type(error)(error.what, where=where, got=error.got, expected=error.expected, remedy=error.remedy)
