"""What is done before the first step: images and captions are encoded, each process its share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

from lib_lyco.errors import FileError, TrainingError
from lib_lyco.train.control import Control
from lib_lyco.train.data.latent import LatentSource
from lib_lyco.train.data.variation import Caption
from lib_lyco.train.events import Caching, Eased, Encodable, Event
from lib_lyco.train.memory import set_beside, texts_aside
from lib_lyco.train.progress import Progress
from lib_lyco.train.recovery import ALONE, OUT_OF_MEMORY, Change, Recovery, ease
from lib_lyco.train.step import Learning
from lib_lyco.train.validation import Validation
from lib_lyco.train.world import World
from lib_lyco.train.writer import Writer

Begin = Callable[[], Iterator[tuple[int, int]]]


class _Encoding:
    """Work with a progress; after an error it begins again, and skips what is done."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._steps = begin()

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return self

    def __next__(self) -> tuple[int, int]:
        try:
            return next(self._steps)
        except (FileError, *OUT_OF_MEMORY):
            self._steps = self._begin()
            raise


@dataclass(frozen=True)
class Preparation:
    """Encodes for a run; where the disk or the memory has no room for it, waits or does it otherwise."""

    validation: Validation | None
    recovery: Recovery
    world: World
    writer: Writer
    progress: Progress
    control: Control

    def events(self, learning: Learning) -> Iterator[Event]:
        """Encodes images and captions.

        Raises:
            TrainingError: There is not enough memory, whatever is changed.
        """
        for source in self._sources(learning):
            yield from self._encode(learning, source.prepare, "images", source)
        yield from self._encode(learning, partial(self._read, learning), "captions")
        if self.world.size > 1 and not self._stop_at_once:
            yield from self._agree(learning)

    def texts_aside(self, learning: Learning) -> AbstractContextManager[None]:
        """Within it text encoders that nobody will ask are off the device, but while pictures are drawn."""
        held_out = [self.validation.images.variations] if self.validation else []
        asked = not learning.texts.keeps or not all(
            one.foretold for one in (learning.variations, *held_out)
        )
        if asked or learning.presence.lent:
            return nullcontext()
        return learning.presence.holding(texts_aside(learning.model))

    def _sources(self, learning: Learning) -> list[LatentSource]:
        held_out = [self.validation.images.latents] if self.validation else []
        return [learning.latents, *held_out]

    def _read(self, learning: Learning) -> Iterator[tuple[int, int]]:
        reading = learning.texts.prepare(self._captions(learning), self.world)
        while True:
            with learning.precision.context():
                told = next(reading, None)
            if told is None:
                return
            yield told

    def _captions(self, learning: Learning) -> Iterator[Caption]:
        """All that the text encoders will be asked during the steps, as far as it can be foretold."""
        kept = learning.objective.preservation
        yield from learning.variations.lasting()
        if self.validation:
            yield from self.validation.images.variations.lasting()
        if kept:
            yield Caption(kept.caption, kept.caption)

    def _encode(
        self,
        learning: Learning,
        begin: Begin,
        what: Encodable,
        source: LatentSource | None = None,
    ) -> Iterator[Event]:
        encoding, done = _Encoding(begin), False
        while not done and not self._stop_at_once:
            trouble = ""
            with self._room(learning, what):
                try:
                    while told := (yield from self.writer.patiently(partial(next, encoding, None))):
                        yield Caching(*told, what)
                        if self._stop_at_once:
                            return
                    done = True
                except OUT_OF_MEMORY as error:
                    trouble = str(error) or type(error).__name__
            if not done:
                yield self._eased(learning, what, trouble, source)

    @property
    def _stop_at_once(self) -> bool:
        return self.control.stop_requested and self.world.size == 1

    def _room(self, learning: Learning, what: Encodable) -> AbstractContextManager[None]:
        """Within it what is not needed for encoding is off the device, once that had to be."""
        if any(change.option == ALONE for change in self.progress.changes) and not learning.presence.lent:
            return learning.presence.holding(set_beside(learning.model, what))
        return nullcontext()

    def _eased(
        self,
        learning: Learning,
        what: Encodable,
        trouble: str,
        source: LatentSource | None,
    ) -> Eased:
        """Makes the next change that may help.

        Raises:
            TrainingError: There is none left.
        """
        made = {change.option for change in self.progress.changes}
        change = self.recovery.easier(learning, source, ALONE in made)
        if change is None:
            raise _no_memory(what, trouble)
        self._make(replace(change, step=self.progress.step + 1), learning)
        return Eased(what, trouble, str(change))

    def _make(self, change: Change, learning: Learning) -> None:
        self.progress.changes += (change,)
        for latents in self._sources(learning):
            ease(latents, change)

    def _agree(self, learning: Learning) -> Iterator[Event]:
        """All processes go on in the same way, and the first tells it."""
        rank = self.world.rank
        found = self.world.gathered({rank: self.progress.changes})
        for number, changes in sorted(found.items()):
            for change in changes:
                if change not in self.progress.changes:
                    self._make(change, learning)
                    yield Eased("images", f"Process {number + 1} of {self.world.size}.", str(change))


def _no_memory(what: Encodable, trouble: str) -> TrainingError:
    if what == "images":
        return TrainingError(
            "There is not enough memory to encode the images.",
            got=trouble,
            remedy="Set vae_precision to bf16, or a smaller resolution.",
        )
    return TrainingError(
        "There is not enough memory to encode the captions.",
        got=trouble,
        remedy="Set a smaller max_token_length, or text_cache to disk, and encode once with --device cpu.",
    )
