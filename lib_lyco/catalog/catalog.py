"""The networks on disk, kept in memory: what a name in a tag means, without reading folders again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from threading import RLock

from lib_lyco.catalog.entry import CatalogEntry, HashOf, unknown_hash
from lib_lyco.catalog.names import HASH, Names, tidy
from lib_lyco.catalog.scan import Listing, list_folders
from lib_lyco.errors import NetworkNotFoundError


class Catalog:
    """Finds networks by name. Safe to use from several threads.

    A name that is known costs a look-up and a question to the operating system whether the file is
    still there. One that is not known costs one reading of the folders, so a new file is found at once.

    Args:
        folders: Where networks are; where two have a file of the same name, the first one's has it.
        hash_of: Hashes of files that state none.
    """

    def __init__(self, folders: Sequence[str | os.PathLike[str]], hash_of: HashOf = unknown_hash) -> None:
        self._folders = tuple(folders)
        self._hash_of = hash_of
        self._lock = RLock()
        self._read: Names | None = None

    def find(self, name: str) -> Path:
        """The file that a name in a tag means.

        Tried in this order: path below a folder, file name, alias (`ss_output_name`), the beginning
        of a hash (8 digits or more). The suffix may be written or left out; upper and lower case
        count only where that decides. Of several files of one name, none of them at the top, the one is
        meant that the WebUI's builtin takes, see `others`. Only files found below the folders can
        answer, so no name leads out of them.

        Raises:
            NetworkNotFoundError: No file answers to the name, or several do.
        """
        return self.entry(name).path

    def entry(self, name: str) -> CatalogEntry:
        """As `find`, with all that is known of the file."""
        wanted = tidy(name)
        try:
            found = self._names.find(wanted)
        except NetworkNotFoundError:
            found = None
        if found is None or not found.path.is_file():
            self.refresh()
            found = self._names.find(wanted)
        if found is None:
            raise self._names.unknown(wanted, ", ".join(map(str, self._folders)) or "no folder given")
        return found

    def others(self, name: str) -> tuple[str, ...]:
        """What to write for the other files that have a name, too. Raises as `find`."""
        return self._names.others(tidy(name))

    def find_hash(self, prefix: str) -> CatalogEntry | None:
        """The file whose hash begins so; the first of several copies; None where different files' do.

        Does not read the folders again.
        """
        digits = prefix.strip().lower()
        try:
            return self._names.find_hash(digits) if HASH.fullmatch(digits) else None
        except NetworkNotFoundError:
            return None

    def list(self) -> list[CatalogEntry]:
        """All files: folder by folder, by name inside each, as of the last reading."""
        return list(self._names.entries)

    def short_name(self, entry: CatalogEntry) -> str:
        """What to write into a tag: the file's name where it is enough, else its path."""
        return self._names.short(entry)

    def refresh(self) -> None:
        """Reads the folders again. What was read of a file that did not change is kept."""
        with self._lock:
            self._take(list_folders(self._folders))

    def _take(self, listing: Listing) -> None:
        """Makes one reading of the folders the known one."""
        known = {entry.file: entry for entry in self._read.entries} if self._read else {}
        self._read = Names([known.get(file) or CatalogEntry(file, self._hash_of) for file in listing.files])

    @property
    def _names(self) -> Names:
        if self._read is None:
            self.refresh()
        assert self._read is not None
        return self._read
