"""Which cards the picker shows, and in which order."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from lib_lyco.catalog.card import Card
from lib_lyco.catalog.entry import CatalogEntry
from lib_lyco.catalog.facts import FileFacts
from lib_lyco.catalog.layout import title_of
from lib_lyco.catalog.names import HASH
from lib_lyco.catalog.side import NOTHING_BESIDE, SideFacts
from lib_lyco.catalog.store import Kept
from lib_lyco.naming.layer import Family

Sort = Literal["name", "path", "created", "modified", "trained", "used", "most_used", "starred"]

OTHER_BASE = "other base model"
"""The reason why a card is hidden while its network could not work."""
HIDDEN_FOLDER = "hidden folder"
"""The reason why a card is hidden until it is searched for: a folder of its path begins with a dot."""
UNKNOWN_BASE = "unknown base model"
"""The reason why a card is hidden where only what surely works is wanted."""

_SD_VERSIONS: Mapping[str, Family] = {"SD1": "sd1", "SD2": "sd2", "SDXL": "sdxl"}
_NUM_DIGITS = 19
_DIGITS = re.compile(rf"(?<!\d)\d{{1,{_NUM_DIGITS}}}(?!\d)")
"""A number; one of absurd length counts as text."""


@dataclass(frozen=True)
class Query:
    """What the picker asks for."""

    text: str = ""
    """Each of its words has to stand in a card's names, folder, hash, notes, triggers or badge."""
    folder: str = ""
    """As `FolderNode.path`; what lies below counts."""
    families: tuple[Family, ...] = ()
    """Only networks that can be for one of these; any where empty."""
    starred: bool = False
    """Only the starred ones."""
    sort: Sort = "name"
    descending: bool = False
    """Turns the order around; what has no such date or count comes last either way."""
    offset: int = 0
    limit: int = 100
    base_family: Family | None = None
    """The base model in use: what is for another one is hidden."""
    hide_unknown: bool = False
    """Whether networks for nobody knows which base model are hidden, too, while one is in use."""
    show_hidden: bool = False


@dataclass(frozen=True)
class Page:
    """The answer."""

    total: int
    """Cards that match and are not hidden."""
    hidden: Mapping[str, int]
    """Why others that match are hidden -> how many."""
    cards: tuple[Card, ...]
    """From `offset` on, at most `limit`."""


NO_FACTS = FileFacts()
"""Of a file that has not been read."""


@dataclass(frozen=True)
class Line:
    """One network as a query sees it."""

    entry: CatalogEntry
    facts: FileFacts
    side: SideFacts
    name_key: str
    is_hidden: bool
    """Whether a folder of its path begins with a dot."""
    bases: tuple[Family, ...] | None
    """The base models on which it may work; None where it may on any."""

    @cached_property
    def text(self) -> str:
        """All that is searched, folded."""
        file, facts, side = self.entry.file, self.facts, self.side
        triggers = (word for one in facts.trigger_sets for word in one.words)
        texts = (
            *(f"{file.folder}/{file.stem}", file.name, facts.alias, facts.hash or "", facts.algo),
            *(title_of(facts.families, facts.other), side.sd_version, side.description, side.notes),
            *(side.activation_text, side.negative_text, *triggers),
        )
        return fold("\n".join(texts))

    def is_current(self) -> bool:
        """Whether nothing else has been read of the entry since."""
        return self.facts is (self.entry.facts or NO_FACTS) and self.side is (
            self.entry.side or NOTHING_BESIDE
        )


def make_line(entry: CatalogEntry) -> Line:
    """Prepares an entry for queries."""
    facts, side = entry.facts or NO_FACTS, entry.side or NOTHING_BESIDE
    is_hidden = "/." in f"/{entry.file.folder}"
    return Line(entry, facts, side, natural(entry.stem), is_hidden, _bases(facts, side))


def select(
    query: Query, lines: Sequence[Line], kept: Mapping[str, Kept]
) -> tuple[list[Line], Mapping[str, int]]:
    """The lines that a query asks for, in its order, and how many others are hidden for which reason.

    Args:
        query: What is asked for; `offset` and `limit` are the caller's.
        lines: All, by name.
        kept: What we keep of networks, by path.
    """
    found = lines
    for word in fold(query.text).split():
        found = _having(found, word)
    found = [
        line
        for line in found
        if (not query.folder or f"{line.entry.file.folder}/".startswith(f"{query.folder}/"))
        and (not query.families or any(family in query.families for family in line.facts.families))
        and (not query.starred or _of(kept, line).starred)
    ]
    if query.show_hidden:
        return _sorted(found, query, kept), {}
    shown, hidden = list[Line](), Counter[str]()
    for line in found:
        reason = _why_hidden(line, query)
        if reason is None:
            shown.append(line)
        else:
            hidden[reason] += 1
    return _sorted(shown, query, kept), hidden


def fold(text: str) -> str:
    """Text without the differences that a search should not heed: case, width, composition."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


@lru_cache(4096)
def natural(text: str) -> str:
    """A key that sorts numbers by their value, and before whatever is no number: v2 before v10."""
    return _DIGITS.sub(lambda digits: f"\0{int(digits[0]):0{_NUM_DIGITS}}", fold(text))


def _sorted(lines: list[Line], query: Query, kept: Mapping[str, Kept]) -> list[Line]:
    if query.sort == "name":
        return lines[::-1] if query.descending else lines
    if query.sort == "path":
        # by name they are already
        by_name = lines[::-1] if query.descending else lines
        return sorted(by_name, key=lambda line: natural(line.entry.file.folder), reverse=query.descending)

    # no pairs of value and line: thousands of new objects would set off a garbage collection, which goes
    # through all that the host has
    def value(line: Line) -> float:
        return read(line, _of(kept, line))

    read = _VALUES[query.sort]
    having, lacking = list[Line](), list[Line]()
    for line in lines:
        (having if value(line) else lacking).append(line)
    having.sort(key=value, reverse=query.descending)
    return having + lacking


_VALUES: Mapping[Sort, Callable[[Line, Kept], float]] = {
    "created": lambda line, kept: kept.first_seen or line.entry.file.created,
    "modified": lambda line, kept: line.entry.file.stamp[0],
    "trained": lambda line, kept: line.facts.trained or 0,
    "used": lambda line, kept: kept.last_used or 0,
    "most_used": lambda line, kept: kept.used_count,
    "starred": lambda line, kept: kept.starred,
}
"""What is sorted by; 0 where there is no such date or count."""

_NOTHING = Kept("")


def _of(kept: Mapping[str, Kept], line: Line) -> Kept:
    return kept.get(line.entry.file.place, _NOTHING)


def _having(lines: Sequence[Line], word: str) -> list[Line]:
    if HASH.fullmatch(word) is None:
        return [line for line in lines if word in line.text]
    # a hash that the file does not state is asked for only where somebody looks for one
    return [line for line in lines if word in line.text or line.entry.answers_to(word)]


def _why_hidden(line: Line, query: Query) -> str | None:
    if line.is_hidden and not (query.text or query.folder):
        return HIDDEN_FOLDER
    if query.base_family is None:
        return None
    if line.bases is None:
        return UNKNOWN_BASE if query.hide_unknown and not line.facts.problem else None
    return None if query.base_family in line.bases else OTHER_BASE


def fits(card: Card, base: Family) -> bool:
    """Whether a network may work on a base model. What nobody knows may, and what is broken is shown."""
    bases = _bases(card.facts, card.side)
    return bases is None or base in bases


def _bases(facts: FileFacts, side: SideFacts) -> tuple[Family, ...] | None:
    if facts.problem:
        return None
    if facts.families or facts.other:
        return facts.families
    stated = _SD_VERSIONS.get(side.sd_version)
    return (stated,) if stated else None
