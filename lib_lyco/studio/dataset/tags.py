"""Captions as tags: split as training splits them, changed, and put together again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lib_lyco.models.emphasis import split_outside_brackets
from lib_lyco.train.config import TrainConfig

ChangeLine = Callable[[str], str]
"""One line of a caption becomes another."""
ChangeTags = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True)
class Grammar:
    """How a caption is made of tags."""

    separator: str = ","
    weighted: bool = False
    """Whether brackets weigh; tags inside one then stay together."""
    all_lines: bool = False
    """Whether every line of a caption file is a caption; otherwise the first one is."""

    @classmethod
    def of(cls, config: TrainConfig) -> Grammar:
        """That of a run."""
        weighted = config.weighted_captions != "off"
        return cls(config.caption_separator, weighted, config.enable_wildcard)

    def split(self, line: str) -> list[str]:
        """The tags of one line, without empty ones."""
        parts = (
            split_outside_brackets(line, self.separator) if self.weighted else line.split(self.separator)
        )
        return [part.strip() for part in parts if part.strip()]

    def join(self, tags: Iterable[str]) -> str:
        """The line that has these tags."""
        return f"{self.separator.rstrip()} ".join(tags)

    def tags_of(self, caption: str) -> list[str]:
        """The tags of a caption as training reads it, of all its lines, each once."""
        return list(dict.fromkeys(tag for line in caption.splitlines() for tag in self.split(line)))

    def on_tags(self, change: ChangeTags) -> ChangeLine:
        """A change of tags as one of a line; a line whose tags stay the same is left as it is."""

        def change_line(line: str) -> str:
            tags = self.split(line)
            changed = change(tags)
            return line if changed == tags else self.join(changed)

        return change_line

    def changed(self, text: str, change: ChangeLine) -> str:
        """The text of a caption file with its captions changed and its other lines kept."""
        lines = text.splitlines() or [""]
        for place, line in enumerate(lines):
            if place == 0 or (self.all_lines and line.strip()):
                lines[place] = change(line.strip())
        return "\n".join(lines)


def added(tags: Sequence[str], new: Sequence[str], in_front: bool = False) -> list[str]:
    """The tags with those of the new ones that are not among them."""
    missing = [tag for tag in dict.fromkeys(new) if tag not in tags]
    return [*missing, *tags] if in_front else [*tags, *missing]


def removed(tags: Sequence[str], gone: Sequence[str]) -> list[str]:
    """The tags without some."""
    return [tag for tag in tags if tag not in gone]


def replaced(tags: Sequence[str], old: str, new: Sequence[str]) -> list[str]:
    """The tags with others in the place of one; what would then stand there twice stands there once."""
    if old not in tags:
        return list(tags)
    return list(dict.fromkeys(one for tag in tags for one in (new if tag == old else (tag,))))


def plain(tag: str) -> str:
    """A tag without what makes no difference: capitals, which text encoders do not tell apart, underscores
    for spaces, and the backslashes that keep brackets from weighing."""
    return re.sub(r"\\([()\[\]])", r"\1", tag.casefold().replace("_", " "))


def deduped(tags: Sequence[str]) -> list[str]:
    """The tags, each where it comes first."""
    seen: dict[str, str] = {}
    for tag in tags:
        seen.setdefault(plain(tag), tag)
    return list(seen.values())


def without(tags: Sequence[str], gone: Container[str]) -> list[str]:
    """The tags without those whose plain form is among some."""
    return [tag for tag in tags if plain(tag) not in gone]


def in_order(tags: Sequence[str], kept: int = 0, counts: Mapping[str, int] | None = None) -> list[str]:
    """The tags by the alphabet, or the most frequent first, but for some at the start that stay there."""
    known = counts or {}
    return [*tags[:kept], *sorted(tags[kept:], key=lambda tag: (-known.get(tag, 0), tag.casefold()))]


def led_by(tags: Sequence[str], triggers: Sequence[str]) -> list[str]:
    """The tags with the trigger words in front, whether they were among them or not."""
    return [*dict.fromkeys(triggers), *removed(tags, triggers)]


def ordered(counts: Counter[str]) -> list[tuple[str, int]]:
    """Tags with how many captions each is in: the most frequent first, equal ones by the alphabet."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
