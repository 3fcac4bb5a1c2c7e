"""What a name in a tag means among some entries."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import PurePosixPath

from lib_lyco.catalog.entry import CatalogEntry
from lib_lyco.catalog.scan import SUFFIXES
from lib_lyco.errors import NetworkNotFoundError
from lib_lyco.files.hashes import short_hash

HASH = re.compile(r"(0x)?[0-9a-f]{8,64}")
"""What can be the beginning of a hash."""

_NUM_SUGGESTIONS = 3
_DIGITS = re.compile("([0-9]+)")

_Walked = tuple[tuple[int, str], ...]


class Names:
    """One reading of the folders; never changed."""

    def __init__(self, entries: Sequence[CatalogEntry]) -> None:
        self.entries = tuple(entries)
        self._paths = _Kind((entry.name, entry) for entry in entries)
        roots = list(dict.fromkeys(_root(entry) for entry in entries))
        self._stems = _Kind((entry.stem, entry) for entry in entries)
        self._stems.sort(lambda entry: (roots.index(_root(entry)), _walked(entry)))

    @cached_property
    def _aliases(self) -> _Kind:
        return _Kind((entry.alias, entry) for entry in self.entries)

    def find(self, name: str) -> CatalogEntry | None:
        """The entry a tidy name means; headers are asked only for an alias or a hash.

        Of files that have one name, in folders below, the last is meant, in the order in which the
        WebUI's builtin meets them (`process_network_files` of its networks.py): old prompts keep their
        pictures. The name of a file that lies in no folder below is its path, so it means that one.

        Raises:
            NetworkNotFoundError: There are several.
        """
        found = self._paths.find(name) or self._last(name) or self._aliases.find(name)
        if found is None and HASH.fullmatch(name.lower()):
            found = self.find_hash(name.lower())
        return found

    def others(self, name: str) -> tuple[str, ...]:
        """What to write for the other files that have this name, too. Raises as `find`."""
        found = self.find(name)
        return tuple(entry.name for entry in self._stems.all(name) if entry is not found)

    def find_hash(self, digits: str) -> CatalogEntry | None:
        """The entry whose hash begins so. Raises NetworkNotFoundError where different files do."""
        wanted = digits.removeprefix("0x")
        answering = [entry for entry in reversed(self.entries) if entry.answers_to(wanted)]
        found = {entry.hash or entry.name: entry for entry in answering}
        return _Kind((digits, entry) for entry in found.values()).find(digits)

    def short(self, entry: CatalogEntry) -> str:
        """What to write into a tag: the file's name where it is enough, else its path."""
        return entry.stem if self._stems.has_one(entry.stem) else entry.name

    def _last(self, name: str) -> CatalogEntry | None:
        """The last file of this name, as it is written or else in one other case."""
        found = self._stems.all(name)
        if len({entry.stem for entry in found}) > 1:
            raise _several(name, found)
        return found[-1] if found else None

    def unknown(self, wanted: str, where: str) -> NetworkNotFoundError:
        """The error for a name that no entry has, with the likeliest others."""
        spellings: dict[str, str] = {}
        for entry in self.entries:
            for text in (entry.alias, entry.name):
                spellings[text.casefold()] = text
            spellings[entry.stem.casefold()] = entry.name
        close = difflib.get_close_matches(wanted.casefold(), spellings, _NUM_SUGGESTIONS)
        likely = list(dict.fromkeys(spellings[text] for text in close))
        remedy = f"Did you mean {' or '.join(likely)}?" if likely else "Check the name, or the folders."
        begun = f"{wanted.casefold()}:"
        cut = next((entry for entry in self.entries if entry.stem.casefold().startswith(begun)), None)
        if cut is not None:
            written = short_hash(cut.hash) if cut.hash else "its hash, or rename the file"
            remedy = f"No tag can hold a name with a colon: for {cut.stem!r} write {written}."
        return NetworkNotFoundError(
            f"There is no network called {wanted!r}",
            where=where,
            got=f"{len(self.entries)} other networks",
            remedy=remedy,
        )


class _Kind:
    """Entries by one kind of name: as written, else whatever its case."""

    def __init__(self, named: Iterable[tuple[str, CatalogEntry]]) -> None:
        self._exact: dict[str, list[CatalogEntry]] = {}
        for name, entry in named:
            self._exact.setdefault(name, []).append(entry)

    @cached_property
    def _folded(self) -> dict[str, list[CatalogEntry]]:
        folded: dict[str, list[CatalogEntry]] = {}
        for name, entries in self._exact.items():
            folded.setdefault(name.casefold(), []).extend(entries)
        return folded

    def sort(self, key: Callable[[CatalogEntry], tuple[int, _Walked]]) -> None:
        """Sorts the entries of each name that several have."""
        for entries in self._exact.values():
            if len(entries) > 1:
                entries.sort(key=key)

    def has_one(self, name: str) -> bool:
        """Whether just one entry has exactly this name."""
        return len(self._exact.get(name, ())) == 1

    def all(self, name: str) -> Sequence[CatalogEntry]:
        """Every entry of that name."""
        return self._exact.get(name) or self._folded.get(name.casefold(), ())

    def find(self, name: str) -> CatalogEntry | None:
        """The one entry of that name, or None. Raises NetworkNotFoundError where there are several."""
        found = self.all(name)
        if len(found) > 1:
            raise _several(name, found)
        return found[0] if found else None


def _several(name: str, found: Sequence[CatalogEntry]) -> NetworkNotFoundError:
    names = sorted(entry.name for entry in found)
    return NetworkNotFoundError(
        f"Several networks answer to {name!r}",
        got=", ".join(names),
        remedy=f"Write the path below the folder, such as <lora:{names[0]}>.",
    )


def _root(entry: CatalogEntry) -> str:
    """The networks folder that it lies below."""
    return entry.file.folder.partition("/")[0]


def _walked(entry: CatalogEntry) -> _Walked:
    """Sorts folders as the WebUI walks through them: by path, numbers by their value."""
    parts = _DIGITS.split(os.path.dirname(entry.file.place))
    # at odd places stand the numbers
    return tuple((int(part), "") if at % 2 else (0, part.lower()) for at, part in enumerate(parts))


def tidy(name: str) -> str:
    """The name without suffix, with `/` for Windows' `\\`."""
    text = name.strip().replace("\\", "/")
    suffix = PurePosixPath(text).suffix
    return text[: -len(suffix)] if suffix.lower() in SUFFIXES else text
