"""The networks on disk, kept in memory: what a name in a tag means, without reading folders again."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from threading import Lock

from lib_lyco.catalog.scan import SUFFIXES, NetworkFile, list_networks
from lib_lyco.errors import FileError, NetworkNotFoundError
from lib_lyco.files.hashes import stated_hash
from lib_lyco.files.header import read_metadata

_HASH = re.compile(r"(0x)?[0-9a-f]{8,64}")
_NUM_SUGGESTIONS = 3

HashOf = Callable[[Path], "str | None"]
"""The hash of a file that states none, where somebody has computed it before; None otherwise."""


def _unknown_hash(path: Path) -> None:
    del path


class CatalogEntry:
    """One network file. What its header says is read when first asked for."""

    def __init__(self, file: NetworkFile, hash_of: HashOf = _unknown_hash) -> None:
        self.file = file
        self.path = file.path
        self.name = file.name
        """Unique: the path below its folder."""
        self._hash_of = hash_of

    @property
    def stem(self) -> str:
        """The file's name without folders and suffix; others may have the same."""
        return self.file.stem

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The header's metadata; none where it cannot be read, for a broken file must not hide others."""
        if self.path.suffix.lower() != SUFFIXES[0]:
            return {}
        try:
            return read_metadata(self.path)
        except FileError:
            return {}

    @property
    def alias(self) -> str:
        """The name under which it was trained (`ss_output_name`), or its file's."""
        return self.metadata.get("ss_output_name") or self.stem

    @property
    def hash(self) -> str | None:
        """The hash that the file states, else the one computed before; None where nobody has."""
        return stated_hash(self.metadata) or self._hash_of(self.path)

    def answers_to(self, digits: str) -> bool:
        """Whether one of its hashes begins so; LyCORIS' and kohya's forms differ in `0x`, too."""
        hashes = (self.hash, self.metadata.get("sshs_legacy_hash"))
        return any(text is not None and text.removeprefix("0x").startswith(digits) for text in hashes)


class Catalog:
    """Finds networks by name. Safe to use from several threads.

    A name that is known costs a look-up and a question to the operating system whether the file is
    still there. One that is not known costs one reading of the folders, so a new file is found at once.

    Args:
        folders: Where networks are; where two have a file of the same name, the first one's has it.
        hash_of: Hashes of files that state none.
    """

    def __init__(self, folders: Sequence[str | os.PathLike[str]], hash_of: HashOf = _unknown_hash) -> None:
        self._folders = tuple(folders)
        self._hash_of = hash_of
        self._lock = Lock()
        self._read: _Index | None = None

    def find(self, name: str) -> Path:
        """The file that a name in a tag means.

        Tried in this order: path below a folder, file name, alias (`ss_output_name`), the beginning
        of a hash (8 digits or more). The suffix may be written or left out; upper and lower case
        count only where that decides. Only files found below the folders can answer, so no name
        leads out of them.

        Raises:
            NetworkNotFoundError: No file answers to the name, or several do.
        """
        return self.entry(name).path

    def entry(self, name: str) -> CatalogEntry:
        """As `find`, with all that is known of the file."""
        wanted = _tidy(name)
        try:
            found = self._index.find(wanted)
        except NetworkNotFoundError:
            found = None
        if found is None or not found.path.is_file():
            self.refresh()
            found = self._index.find(wanted)
        if found is None:
            raise _unknown(wanted, self._index.entries, self._folders)
        return found

    def find_hash(self, prefix: str) -> CatalogEntry | None:
        """The file whose hash begins so; the first of several copies; None where different files' do.

        Does not read the folders again.
        """
        digits = prefix.strip().lower()
        try:
            return self._index.find_hash(digits) if _HASH.fullmatch(digits) else None
        except NetworkNotFoundError:
            return None

    def list(self) -> list[CatalogEntry]:
        """All files: folder by folder, by name inside each, as of the last reading."""
        return list(self._index.entries)

    def short_name(self, entry: CatalogEntry) -> str:
        """What to write into a tag: the file's name where it is enough, else its path."""
        return entry.stem if len(self._index.stems.exact.get(entry.stem, ())) == 1 else entry.name

    def refresh(self) -> None:
        """Reads the folders again. What was read of a file that did not change is kept."""
        with self._lock:
            known = {entry.file: entry for entry in self._read.entries} if self._read else {}
            files = list_networks(self._folders)
            self._read = _Index([known.get(file) or CatalogEntry(file, self._hash_of) for file in files])

    @property
    def _index(self) -> _Index:
        if self._read is None:
            self.refresh()
        assert self._read is not None
        return self._read


class _Names:
    """Entries by one kind of name: as written, else whatever its case."""

    def __init__(self, named: Iterable[tuple[str, CatalogEntry]]) -> None:
        self.exact: dict[str, list[CatalogEntry]] = {}
        self._folded: dict[str, list[CatalogEntry]] = {}
        for name, entry in named:
            self.exact.setdefault(name, []).append(entry)
            self._folded.setdefault(name.casefold(), []).append(entry)

    def find(self, name: str) -> CatalogEntry | None:
        """The one entry of that name, or None. Raises NetworkNotFoundError where there are several."""
        found = self.exact.get(name) or self._folded.get(name.casefold()) or [None]
        if len(found) > 1:
            names = sorted(entry.name for entry in found if entry)
            raise NetworkNotFoundError(
                f"Several networks answer to {name!r}",
                got=", ".join(names),
                remedy=f"Write the path below the folder, such as <lora:{names[0]}>.",
            )
        return found[0]


class _Index:
    """One reading of the folders; never changed."""

    def __init__(self, entries: Sequence[CatalogEntry]) -> None:
        self.entries = tuple(entries)
        self._paths = _Names((entry.name, entry) for entry in entries)
        self.stems = _Names((entry.stem, entry) for entry in entries)

    @cached_property
    def _aliases(self) -> _Names:
        return _Names((entry.alias, entry) for entry in self.entries)

    def find(self, name: str) -> CatalogEntry | None:
        """The entry a tidy name means; headers are read only for an alias or a hash."""
        found = self._paths.find(name) or self.stems.find(name) or self._aliases.find(name)
        if found is None and _HASH.fullmatch(name.lower()):
            found = self.find_hash(name.lower())
        return found

    def find_hash(self, digits: str) -> CatalogEntry | None:
        """The entry whose hash begins so. Raises NetworkNotFoundError where different files do."""
        wanted = digits.removeprefix("0x")
        answering = [entry for entry in reversed(self.entries) if entry.answers_to(wanted)]
        found = {entry.hash or entry.name: entry for entry in answering}
        return _Names((digits, entry) for entry in found.values()).find(digits)


def _tidy(name: str) -> str:
    """The name without suffix, with `/` for Windows' `\\`."""
    tidy = name.strip().replace("\\", "/")
    suffix = PurePosixPath(tidy).suffix
    return tidy[: -len(suffix)] if suffix.lower() in SUFFIXES else tidy


def _unknown(
    wanted: str, entries: Sequence[CatalogEntry], folders: Sequence[str | os.PathLike[str]]
) -> NetworkNotFoundError:
    spellings: dict[str, str] = {}
    for entry in entries:
        for text in (entry.alias, entry.name):
            spellings[text.casefold()] = text
        spellings[entry.stem.casefold()] = entry.name
    close = difflib.get_close_matches(wanted.casefold(), spellings, _NUM_SUGGESTIONS)
    likely = list(dict.fromkeys(spellings[text] for text in close))
    return NetworkNotFoundError(
        f"There is no network called {wanted!r}",
        where=", ".join(str(folder) for folder in folders) or "no folder given",
        got=f"{len(entries)} other networks",
        remedy=f"Did you mean {' or '.join(likely)}?" if likely else "Check the name, or the folders.",
    )
