"""What makes captions of images, and what the user wants of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from PIL import Image

from lib_lyco.studio.dataset.tags import plain

Category = Literal["general", "character", "series", "rating", "sentence"]
Mode = Literal["replace", "append", "keep"]
"""Of images that have a caption: a new one, tags behind the old ones, or none."""


@dataclass(frozen=True)
class Guess:
    """One tag, and how sure it is."""

    text: str
    score: float = 1.0
    category: Category = "general"


Look = Callable[[Image.Image], Sequence[Guess]]
"""Of an upright RGB image; LycoError: it cannot be looked at."""


class Tagger(Protocol):
    """Something that can look at images."""

    @property
    def id(self) -> str:
        """What the page calls it."""
        ...

    @property
    def title(self) -> str:
        """For people."""
        ...

    @property
    def problem(self) -> str:
        """Why it cannot be used here, with what to do; or ""."""
        ...

    @property
    def makes_sentences(self) -> bool:
        """Whether it has no scores that thresholds mean anything for."""
        ...

    def kinds(self) -> Mapping[str, Category]:
        """What its tags are; none where it does not say.

        Raises:
            LycoError: Its list cannot be read.
        """
        ...

    def open(self) -> AbstractContextManager[Look]:
        """Loads it; at the end it has given memory back.

        Raises:
            LycoError: It cannot be loaded.
        """
        ...


Taggers = Callable[[], Sequence[Tagger]]
"""What there is at the moment, also what cannot be used."""


@dataclass(frozen=True)
class Wish:
    """What becomes of the guesses."""

    mode: Mode = "append"
    threshold: float = 0.35
    character_threshold: float = 0.85
    spaces: bool = True
    """Write 1_girl as 1 girl, but ^_^ as it is."""
    with_characters: bool = True
    with_series: bool = True
    with_rating: bool = False
    left_out: tuple[str, ...] = ()
    trigger: tuple[str, ...] = ()
    """Words in front of every caption."""

    def tags(self, guesses: Sequence[Guess]) -> list[str]:
        """The tags that are sure enough: sentence, characters, series, then the rest, the surest first."""
        ranks = ("sentence", "character", "series", "general", "rating")
        ordered = sorted(guesses, key=lambda guess: (ranks.index(guess.category), -guess.score))
        unwanted = {plain(one) for one in self.left_out}
        ratings = [guess for guess in ordered if guess.category == "rating"][:1]
        chosen = [guess for guess in ordered if self._is_sure(guess)] + (
            ratings if self.with_rating else []
        )
        texts = [self._written(guess.text) for guess in chosen]
        return [text for text in texts if plain(text) not in unwanted]

    def _is_sure(self, guess: Guess) -> bool:
        if guess.category == "character":
            return self.with_characters and guess.score >= self.character_threshold
        if guess.category == "series":
            return self.with_series and guess.score >= self.character_threshold
        return guess.category == "sentence" or (
            guess.category == "general" and guess.score >= self.threshold
        )

    def _written(self, text: str) -> str:
        # a face like ^_^ or >_< has no two letters
        is_word = sum(letter.isalpha() for letter in text) > 1
        return text.replace("_", " ") if self.spaces and is_word else text
