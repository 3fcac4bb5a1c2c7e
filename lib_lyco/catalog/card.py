"""A card: what the picker shows of one network."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lib_lyco.catalog.entry import CatalogEntry
from lib_lyco.catalog.facts import FileFacts
from lib_lyco.catalog.layout import title_of
from lib_lyco.catalog.scan import IMAGE_SUFFIXES
from lib_lyco.catalog.side import SideFacts
from lib_lyco.catalog.store import Kept
from lib_lyco.catalog.triggers import TriggerSet, without_repeats, written_sets
from lib_lyco.naming.layer import Family

_HALF_PAIR = re.compile("[\ud800-\udfff]")


class Preview(NamedTuple):
    """A picture of a network: a file beside it, or one inside it."""

    name: str
    """The file's name, or `cover:2` for the metadata's third picture."""
    path: Path | None
    """None for one inside the network's file."""
    mtime: int
    """Seconds since 1970; another time, another picture."""
    cover: int | None = None
    """Its place in the metadata's list."""


@dataclass(frozen=True)
class Card:
    """All that the picker shows of one network. Times are in seconds since 1970."""

    id: str
    """Stands for the file where paths may not be told."""
    path: Path
    name: str
    """What a tag says: unique."""
    stem: str
    alias: str
    """The name under which it was trained, or the file's."""
    folder: str
    """As in the tree of folders."""
    path_below: str
    """Path below its networks folder, without suffix."""
    size: int
    created: float
    modified: float
    trained: float | None
    facts: FileFacts
    """Algorithm, rank, base model, hash, embeddings; nothing as long as it has not been read."""
    side: SideFacts
    """What the user wrote beside it."""
    hash: str | None
    """Stated by the file, or computed before."""
    trigger_sets: tuple[TriggerSet, ...]
    """The user's activation text first."""
    previews: tuple[Preview, ...]
    """The chosen one first."""
    starred: bool
    used_count: int
    last_used: float | None

    @property
    def families(self) -> tuple[Family, ...]:
        """Base models that it can be for, the likeliest first; none where nothing tells."""
        return self.facts.families

    @property
    def family_title(self) -> str:
        """What people call its base model; "" if it is not known."""
        return title_of(self.facts.families, self.facts.other)

    @property
    def problem(self) -> str | None:
        """Why the file, or else what stands beside it, is of no use."""
        return self.facts.problem or self.side.problem


def make_card(entry: CatalogEntry, name: str, kept: Kept) -> Card:
    """Puts together what is known of a network.

    Args:
        entry: The file.
        name: What a tag says for it.
        kept: What we keep of it.
    """
    file = entry.file
    facts, side = entry.facts or FileFacts(), entry.side or SideFacts()
    mtime_ns, size = file.stamp
    return Card(
        id=entry.id,
        path=entry.path,
        name=name,
        stem=entry.stem,
        alias=facts.alias or entry.stem,
        folder=file.folder,
        path_below=file.name,
        size=size,
        created=kept.first_seen or file.created,
        modified=mtime_ns / 1e9,
        trained=facts.trained,
        facts=facts,
        side=side,
        hash=entry.hash,
        trigger_sets=without_repeats([*written_sets(side.activation_text), *facts.trigger_sets]),
        previews=_previews(entry, facts, kept.preview),
        starred=kept.starred,
        used_count=kept.used_count,
        last_used=kept.last_used,
    )


def card_json(card: Card, link: Callable[[Card, Preview], str]) -> dict[str, Any]:
    """The card for the page.

    Args:
        card: The card.
        link: The address of one of its previews.
    """
    facts, side = card.facts, card.side
    fields = {
        **{name: getattr(card, name) for name in _PLAIN},
        "algo": facts.algo,
        "rank": facts.rank,
        "family": facts.families[0] if facts.families else None,
        "families": facts.families,
        "family_title": card.family_title,
        "evidence": facts.evidence,
        "problem": card.problem,
        "embeddings": bool(facts.embeddings),
        "previews": [{"name": one.name, "url": link(card, one)} for one in card.previews],
        "trigger_sets": [{"name": one.name, "words": one.words} for one in card.trigger_sets],
        "description": side.description,
        "sd_version": side.sd_version,
        "activation_text": side.activation_text,
        "preferred_weight": side.preferred_weight,
        "negative_text": side.negative_text,
        "notes": side.notes,
    }
    return {name: _sendable(value) for name, value in fields.items()}


_PLAIN = (
    *("id", "name", "stem", "alias", "folder", "path_below", "size", "created", "modified", "trained"),
    *("hash", "starred", "used_count", "last_used"),
)
"""What the page gets as the card has it."""


def _previews(entry: CatalogEntry, facts: FileFacts, chosen: str) -> tuple[Preview, ...]:
    folder = entry.path.parent
    found = [
        Preview(beside.name, folder / beside.name, beside.stamp[0] // 1_000_000_000)
        for beside in entry.file.beside
        if Path(beside.name).suffix.lower() in IMAGE_SUFFIXES
    ]
    mtime = entry.file.stamp[0] // 1_000_000_000
    found += [Preview(f"cover:{place}", None, mtime, place) for place in facts.covers]
    return tuple(sorted(found, key=lambda one: one.name != chosen))


def _sendable(value: Any) -> Any:
    """The same without halves of surrogate pairs, which files may hold and UTF-8 cannot."""
    if isinstance(value, str):
        return _HALF_PAIR.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {name: _sendable(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sendable(one) for one in value]
    return value
