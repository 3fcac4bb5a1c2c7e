"""Captions in a metadata file, written back in their places.

What is written are the texts of `caption` and `tags`, each exactly where it stands; all else in the file
stays as it is, byte by byte.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from json.decoder import JSONDecoder
from pathlib import Path
from typing import Any, cast

from lib_lyco.errors import DataError, FileError
from lib_lyco.files.replacing import replace_file
from lib_lyco.studio.dataset.tags import Grammar
from lib_lyco.train.data.metadata_file import read_entries

FIELDS = ("caption", "tags")
Texts = Mapping[str, str]
"""`caption` and `tags` of an entry, those that it has."""
_GAP = re.compile(r"[\s,:]*")


@dataclass(frozen=True)
class EntryTexts:
    """Captions of a metadata file get other texts."""

    path: Path
    before: Mapping[str, Texts]
    """By what the file calls the image."""
    after: Mapping[str, Texts]

    def reversed(self) -> EntryTexts:
        return EntryTexts(self.path, self.after, self.before)

    def state(self) -> bool | None:
        """Whether it is done; None if a caption is neither, or is not there any more."""
        try:
            entries = dict(read_entries(self.path))
        except DataError:
            return None
        now = {key: _texts(entries.get(key, {}), texts) for key, texts in self.after.items()}
        return True if now == self.after else False if now == self.before else None

    def do(self) -> None:
        """Raises FileError if the file cannot be written; it is as before then."""
        try:
            raw = self.path.read_bytes()
        except OSError as error:
            raise FileError("A file cannot be read.", where=str(self.path), got=str(error)) from error
        mark = codecs.BOM_UTF8 if raw.startswith(codecs.BOM_UTF8) else b""
        is_lines = self.path.suffix.lower() == ".jsonl"
        text = written(raw.decode("utf-8-sig"), is_lines, self.after)
        replace_file(self.path, mark + text.encode())


def change_of(entry: Mapping[str, Any], text: str, grammar: Grammar) -> tuple[Texts, Texts]:
    """What is to be changed in an entry so that it makes this text: before and after."""
    after = split_text(text, entry, grammar)
    return _texts(entry, after), after


def _texts(entry: Mapping[str, Any], names: Iterable[str]) -> Texts:
    return {name: entry.get(name) or "" for name in names}


def split_text(text: str, entry: Mapping[str, Any], grammar: Grammar) -> Texts:
    """`caption` and `tags` that make this text, as near to those of the entry as can be.

    An entry with one of them keeps to that one. Where both are, what stands up to the last part of the old
    caption is the caption, and what follows the tags; of several lines all become the caption.
    """
    there = [name for name in FIELDS if name in entry]
    if len(there) < 2:
        return {there[0] if there else "caption": text}
    if "\n" in text:
        return {"caption": text, "tags": ""}
    old, parts = set(grammar.split(entry["caption"] or "")), grammar.split(text)
    if not old:
        return {"caption": "", "tags": text}
    end = max((place + 1 for place, part in enumerate(parts) if part in old), default=0)
    return {"caption": grammar.join(parts[:end]), "tags": grammar.join(parts[end:])}


def written(text: str, is_lines: bool, changes: Mapping[str, Texts]) -> str:
    """The text of a metadata file with other captions and tags.

    Args:
        text: JSON with an object of entries, or with one entry a line.
        is_lines: Whether it is the latter.
        changes: By the name of the image.
    """
    places = _line_places(text) if is_lines else ((key, start) for key, _, start, _ in _members(text, 0))
    pieces: list[tuple[int, int, str]] = []
    for key, start in places:
        if key in changes:
            pieces += _field_pieces(text, start, changes[key])
    parts, at = list[str](), 0
    for start, end, piece in sorted(pieces):
        parts += [text[at:start], piece]
        at = end
    return "".join((*parts, text[at:]))


def _line_places(text: str) -> Iterator[tuple[str, int]]:
    """Image and place of the entry of each line."""
    at = 0
    for line in text.splitlines(keepends=True):
        if line.strip():
            start = at + len(line) - len(line.lstrip())
            yield json.loads(line)["image_path"], start
        at += len(line)


def _members(text: str, at: int) -> Iterator[tuple[str, Any, int, int]]:
    """Key, value, start and end of each value of the object that begins at a place; it is one that is
    known to be whole."""
    decoder = JSONDecoder()
    at = _skip(text, text.index("{", at) + 1)
    while text[at] != "}":
        key, at = decoder.raw_decode(text, at)
        start = _skip(text, at)
        value, at = decoder.raw_decode(text, start)
        yield cast(str, key), value, start, at
        at = _skip(text, at)


def _field_pieces(text: str, start: int, texts: Texts) -> Iterator[tuple[int, int, str]]:
    """What is to be written where for one entry; a field that is missing comes first in it."""
    members = {key: (one, end) for key, _, one, end in _members(text, start)}
    for name, value in texts.items():
        told = json.dumps(value, ensure_ascii=text.isascii())
        if name in members:
            yield (*members[name], told)
        else:
            first = _skip(text, start + 1)
            space = text[start + 1 : first]
            comma = "" if text[first] == "}" else "," if space else ", "
            yield start + 1, start + 1, f'{space}"{name}": {told}{comma}'


def _skip(text: str, at: int) -> int:
    found = _GAP.match(text, at)
    return found.end() if found else at
