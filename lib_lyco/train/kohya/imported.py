"""What came out of an import: options of ours, and a note for everything a reader should know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lib_lyco.train.config import TrainConfig, make_config

Kind = Literal["changed", "default", "obsolete", "attention"]
"""`changed`: another value with the same meaning, or a better one; `default`: not given, sd-scripts'
default is written; `obsolete`: has no meaning here, results stay the same; `attention`: something asked
for is left out or done differently."""


@dataclass(frozen=True)
class Note:
    """One thing that is not as it was written."""

    flag: str
    """As in the input, without its dashes."""
    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.flag} ({self.kind}): {self.text}"


@dataclass(frozen=True)
class Imported:
    """Options by name, and the notes."""

    options: Mapping[str, Any]
    notes: tuple[Note, ...] = ()

    def config(self) -> TrainConfig:
        """The config.

        Raises:
            ConfigError: The options contradict each other; sd-scripts may have allowed it.
        """
        return make_config(self.options)


@dataclass
class Draft:
    """An import that is being made."""

    options: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: list[Note] = field(default_factory=list[Note])

    def note(self, flag: str, kind: Kind, text: str) -> None:
        """Adds a note."""
        self.notes.append(Note(flag, kind, text))

    def done(self) -> Imported:
        """What it has become."""
        return Imported(dict(self.options), tuple(self.notes))
