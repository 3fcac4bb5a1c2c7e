"""What a card's tag says: a name that means this file and no other, and that can stand in a tag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from lib_lyco.catalog.card import Card
from lib_lyco.catalog.index import Index
from lib_lyco.catalog.names import tidy
from lib_lyco.errors import PromptError
from lib_lyco.files.hashes import short_hash
from lib_lyco.prompt.edit import Tag


class TagNames:
    """Names for tags, as of the last change of the index.

    Args:
        index: The networks.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._revision = ""
        self._counts: Counter[str] = Counter()

    def of(self, card: Card, prefers_alias: bool) -> str | None:
        """The name to write; None where the file can be named in no way.

        Args:
            card: The network.
            prefers_alias: Whether the name under which it was trained is wanted, where that is unique.
        """
        return next((name for name in self._candidates(card, prefers_alias) if _can_stand(name)), None)

    def _candidates(self, card: Card, prefers_alias: bool) -> Iterator[str]:
        if prefers_alias and self._is_unique(card.alias):
            yield card.alias
        yield card.name
        if self._is_unique(card.alias):
            yield card.alias
        if card.hash is not None:
            yield short_hash(card.hash)

    def _is_unique(self, name: str) -> bool:
        if self._revision != self._index.revision:
            self._revision = self._index.revision
            names = ({e.name, e.stem, e.alias} for e in self._index.list())
            self._counts = Counter(text for one in names for text in {name.casefold() for name in one})
        return self._counts[name.casefold()] == 1


def _can_stand(name: str) -> bool:
    """Whether a tag with the name is read back with that name."""
    try:
        Tag("lora", name)
    except PromptError:
        return False
    return tidy(name) == name
