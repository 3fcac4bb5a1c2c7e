"""The catalog that remembers: what files say, what users keep, on disk between starts.

What the folders had when a scan last ended is shown until they have been read, so that no page waits for
them. `refresh` reads directory entries and takes up what the database has of them, so that a tag finds its
file at once. `scan` also reads the headers of files that are new or changed, some at a time, each time
saving them: it may be killed at any moment and goes on where it was. Of 10,000 known files none is opened.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, RLock
from typing import NamedTuple

from lib_lyco.catalog.card import Card, make_card
from lib_lyco.catalog.catalog import Catalog
from lib_lyco.catalog.entry import CatalogEntry, HashOf, unknown_hash
from lib_lyco.catalog.facts import read_facts
from lib_lyco.catalog.keeping import Keeping
from lib_lyco.catalog.layout import Layouts
from lib_lyco.catalog.names import Names
from lib_lyco.catalog.query import Line, Page, Query, make_line, select
from lib_lyco.catalog.remembered import (
    beside_text,
    files_text,
    known_facts,
    read_files,
    stamp_text,
    uncollected,
)
from lib_lyco.catalog.scan import FolderNode, Listing, NetworkFile, folder_tree, list_folders, modified_at
from lib_lyco.catalog.side import FIELDS, read_side, write_notes, write_preview
from lib_lyco.catalog.store import Kept, Row, Store
from lib_lyco.errors import NetworkNotFoundError
from lib_lyco.files.identity import TICK_NS

_BATCH = 128
"""Files read between two savings."""


class Progress(NamedTuple):
    """Of a scan."""

    done: int
    total: int
    """Files whose header, or whose notes, have to be read; 0 as long as the folders are being read."""


@dataclass(frozen=True)
class ScanReport:
    """What a scan found."""

    num_files: int
    num_read: int
    """Files whose header, or whose notes, had to be read."""
    num_gone: int
    """Files that were known and are there no more."""
    problems: tuple[str, ...]
    """Folders that cannot be read, an index that cannot be saved."""


class Index(Catalog):
    """All that the picker knows. Safe to use from several threads, and beside other processes.

    Args:
        db_path: The database; None to remember nothing beyond this process.
        folders: Where networks are; where two have a file of the same name, the first one's has it.
        hash_of: Hashes of files that state none.
        clock: The time in seconds since 1970.
    """

    def __init__(
        self,
        db_path: str | os.PathLike[str] | None,
        folders: Sequence[str | os.PathLike[str]],
        hash_of: HashOf = unknown_hash,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(folders, hash_of)
        self._store = Store(None if db_path is None else Path(db_path))
        self._clock = clock
        self._layouts = Layouts()
        self._scanning = Lock()
        self._looking = RLock()
        self._folder_key = ascii([os.path.abspath(folder) for folder in self._folders])
        self._progress: Progress | None = None
        self._is_listed = False
        self._row_places: set[str] = set()
        self._listing = Listing()
        self._listed_at = 0.0
        self._remembered: list[NetworkFile] = []
        self._unread: dict[str, CatalogEntry] = {}
        self._gone: set[str] = set()
        self._saved_to = 0
        self._keeping = Keeping(self._store, clock)
        self._began = f"{clock():.3f}"
        self._changes = 0
        self._lines: list[Line] = []
        self._lines_of = -1
        self._lines_names: Names | None = None
        self._by_id: dict[str, CatalogEntry] = {}

    @property
    def revision(self) -> str:
        """Another text whenever cards may look otherwise than before."""
        generation, version = self._store.data_version()
        return f"{self._began}-{self._changes}-{self._keeping.num_changes}-{generation}-{version}"

    @property
    def problems(self) -> tuple[str, ...]:
        """Folders that cannot be read, an index that cannot be saved."""
        problem = [self._store.problem] if self._store.problem else []
        return (*self._listing.problems, *problem)

    @property
    def news(self) -> str:
        """How far a scan is that has something to read, as a sentence; "" if all is known."""
        progress = self._progress
        if progress is None:
            return ""
        said = f"New files are being read: {progress.done} of {progress.total}."
        return said if progress.total else "The folders are being read."

    @property
    def progress(self) -> Progress | None:
        """How far a scan is that has something to read; None if all is known."""
        return self._progress

    def scan(self) -> ScanReport:
        """Brings everything up to date: new, changed, renamed and deleted files."""
        with self._scanning:
            try:
                return self._scan()
            finally:
                if self._progress is not None:
                    self._progress = None
                    self._touch()

    def _scan(self) -> ScanReport:
        if not self._is_listed:
            self._progress = Progress(0, 0)
        self.refresh()
        with self._lock:
            unread, gone = list(self._unread.values()), self._gone
            self._gone = set()
        self._save_again()
        for start in range(0, len(unread), _BATCH):
            self._progress = Progress(start, len(unread))
            self._read_batch(unread[start : start + _BATCH])
        self._store.remove(gone)
        self._remember(self._listing)
        entries = {entry.file.place: entry for entry in self._names.entries}
        self._keeping.follow(entries, any_changed=bool(unread or gone))
        if unread:
            with self._lock:
                # aliases may be others now
                self._set_names(self._names.entries)
        self._ready()
        return ScanReport(len(self._names.entries), len(unread), len(gone), self.problems)

    def follow(self) -> bool:
        """Scans if a file has come, gone or been renamed since, or was still being written; whether it did.

        Costs a question to the operating system for each folder. A file that is written in place, long
        after it was last read, is left to `scan`.
        """
        now = self._clock()
        waited = now - self._listed_at >= TICK_NS / 1e9
        with self._lock:
            unread = [entry.file for entry in self._unread.values()]
        due = not self._is_listed or bool(self._gone)
        # what was noticed by a look for a name has not been read; what was fresh may have gone on
        due = due or any(waited or not self._is_fresh(file) for file in unread)
        for folder, mtime in self._listing.folders.items():
            # changed just before it was read: it may have changed again within one tick of its clock
            fresh = waited and _is_near(mtime, self._listed_at)
            due = due or fresh or modified_at(folder) != mtime
        if due:
            self.scan()
        return due

    def search(self, query: Query) -> Page:
        """The cards that a query asks for."""
        kept = self._keeping.now()
        lines, hidden = select(query, self._ready(), kept)
        wanted = lines[query.offset : query.offset + query.limit]
        return Page(len(lines), hidden, tuple(self._card(line.entry, kept) for line in wanted))

    def folders(self) -> list[FolderNode]:
        """The folders that hold networks, as a tree."""
        return folder_tree(Counter(entry.file.folder for entry in self._names.entries))

    def with_id(self, card_id: str) -> CatalogEntry:
        """The entry of a card. Raises NetworkNotFoundError where there is none any more."""
        names = self._names
        found = self._by_id.get(card_id)
        if found is None:
            raise NetworkNotFoundError(
                "There is no such card",
                got=repr(card_id),
                expected=f"one of {len(names.entries)}",
                remedy="Its file was renamed or removed: reload the list.",
            )
        return found

    def card(self, card_id: str) -> Card:
        """One card. Raises NetworkNotFoundError where there is none any more."""
        return self._card(self.with_id(card_id), self._keeping.now())

    def star(self, card_id: str, starred: bool) -> None:
        """Raises NetworkNotFoundError where there is no such card; so do the methods below."""
        self._keeping.star(self.with_id(card_id).file.place, starred)

    def use(self, card_id: str) -> None:
        """Counts one use, now."""
        self._keeping.use(self.with_id(card_id).file.place)

    def choose_preview(self, card_id: str, name: str) -> None:
        """Makes one preview, by `Preview.name`, the first; "" for the natural order."""
        self._keeping.choose_preview(self.with_id(card_id).file.place, name)

    def write_notes(self, card_id: str, changes: Mapping[str, object]) -> None:
        """Changes what the user wrote of a network, by the names of `SideFacts`.

        Raises:
            FileError: The notes cannot be written.
            KeyError: There is no such field.
        """
        write_notes(self.with_id(card_id).path, {FIELDS[name]: value for name, value in changes.items()})
        self._read_again(card_id)

    def write_preview(self, card_id: str, data: bytes, suffix: str) -> None:
        """Puts a picture beside a network. Raises FileError where it cannot be written."""
        path = write_preview(self.with_id(card_id).path, data, suffix)
        self._keeping.choose_preview(self.with_id(card_id).file.place, path.name)
        self._read_again(card_id)

    def close(self) -> None:
        """Lets go of the database."""
        self._store.close()

    def refresh(self) -> None:
        """Reads the folders again, and no file: what the database has of a new one is taken up."""
        with self._looking:
            now = self._clock()
            listing = list_folders(self._folders)
            with self._lock:
                self._listed_at, self._listing = now, listing
                self._take(listing)
                self._is_listed = True

    @property
    def _names(self) -> Names:
        if self._read is None:
            self._recall()
        return super()._names

    def _recall(self) -> Names:
        """Takes up the last listing that was saved, if there is none yet; no names where none was."""
        if self._read is None:
            with self._lock:
                files = [] if self._read else read_files(self._store.listing(self._folder_key))
                if files:
                    self._remembered = files
                    with uncollected():
                        self._take(Listing(files))
        return self._read or Names(())

    def _remember(self, listing: Listing) -> None:
        """Saves a listing for the next start."""
        if listing.files != self._remembered:
            self._store.save_listing(self._folder_key, files_text(listing.files))
            self._remembered = listing.files

    def _take(self, listing: Listing) -> None:
        known = {entry.file.place: entry for entry in self._read.entries} if self._read else {}
        files = {file.place: file for file in listing.files}
        changed = {
            place for place, file in files.items() if place not in known or known[place].file != file
        }
        rows = self._rows(changed)
        entries: list[CatalogEntry] = []
        for file in listing.files:
            old = known.get(file.place)
            if old is None or file.place in changed:
                old = self._begin(file, old, rows.get(file.place))
            elif self._is_fresh(file):
                self._unread[file.place] = old
            entries.append(old)
        self._unread = {place: entry for place, entry in self._unread.items() if place in files}
        self._gone |= {
            place for place in (known.keys() | self._row_places) - files.keys() if self._is_ours(place)
        }
        if listing.folders:
            self._row_places = set()
        is_other = not self._is_listed and len(entries) != len(known)
        if changed or self._gone or self._read is None or is_other:
            self._set_names(entries)

    def _rows(self, places: Collection[str]) -> Mapping[str, Row]:
        """What the database has of some files; at first it is seen, too, which others it has."""
        if self._is_listed and len(places) <= _BATCH:
            return self._store.rows(places)
        rows = self._store.rows() if places else {}
        self._row_places |= rows.keys()
        return rows

    def _begin(self, file: NetworkFile, old: CatalogEntry | None, row: Row | None) -> CatalogEntry:
        """An entry for a file that is new or changed, with what is known of it."""
        facts, side = known_facts(file, row)
        entry = CatalogEntry(file, self._hash_of, facts, side)
        if facts is None or side is None or self._is_fresh(file):
            self._unread[file.place] = entry
        else:
            self._unread.pop(file.place, None)
        if old is not None:
            # shown until the file has been read
            entry.facts, entry.side = facts or old.facts, side or old.side
        return entry

    def _set_names(self, entries: Sequence[CatalogEntry]) -> None:
        self._read = Names(entries)
        self._by_id = {entry.id: entry for entry in entries}
        self._touch()

    def _touch(self) -> None:
        self._changes += 1

    def _read_batch(self, batch: Sequence[CatalogEntry]) -> None:
        rows: list[Row] = []
        with uncollected():
            for entry in batch:
                entry.facts = read_facts(entry.path, self._layouts)
                entry.side = read_side(entry.file)
                rows.append(self._row(entry))
        self._store.save(rows)
        with self._lock:
            for entry in batch:
                if self._unread.get(entry.file.place) is entry and not self._is_fresh(entry.file):
                    del self._unread[entry.file.place]
            self._touch()

    def _read_again(self, card_id: str) -> None:
        """Takes up what was written beside one file, without waiting for a scan."""
        self.refresh()
        self._read_batch([self.with_id(card_id)])

    def _row(self, entry: CatalogEntry) -> Row:
        file = entry.file
        assert entry.facts is not None and entry.side is not None
        # what was read within a tick of its change is not vouched for
        stamp = "" if self._is_fresh(file) else stamp_text(file)
        return Row(file.place, stamp, entry.facts.to_json(), beside_text(file), entry.side.to_json())

    def _save_again(self) -> None:
        """Where the database was lost meanwhile, writes down what this process still knows."""
        self._store.data_version()
        if self._saved_to not in (0, self._store.generation):
            read = [entry for entry in self._names.entries if entry.facts and entry.side]
            self._store.save([self._row(entry) for entry in read])
            self._keeping.restore()
        self._saved_to = self._store.generation

    def _ready(self) -> list[Line]:
        """All entries prepared for queries, by name."""
        names, changes, lines = self._recall(), self._changes, self._lines
        if self._lines_of != changes:
            if self._lines_names is not names:
                old = {id(line.entry): line for line in lines}
                lines = [old.get(id(entry)) or make_line(entry) for entry in names.entries]
                lines.sort(key=lambda line: line.name_key)
            lines = [line if line.is_current() else make_line(line.entry) for line in lines]
            with self._lock:
                self._lines, self._lines_of, self._lines_names = lines, changes, names
        return lines

    def _card(self, entry: CatalogEntry, kept: Mapping[str, Kept]) -> Card:
        place = entry.file.place
        return make_card(entry, self.short_name(entry), kept.get(place) or Kept(place))

    def _is_fresh(self, file: NetworkFile) -> bool:
        """Whether a file changed so shortly before it was looked at that it may go on unnoticed."""
        return _is_near(file.stamp[0], self._listed_at)

    def _is_ours(self, place: str) -> bool:
        """Whether a path lies in a folder that was read: where it is missing now, it is gone."""
        return any(
            modified >= 0 and place.startswith(os.path.join(os.path.abspath(folder), ""))
            for folder in self._folders
            if (modified := self._listing.folders.get(os.path.abspath(folder), -1)) >= 0
        )


def _is_near(mtime_ns: int, seconds: float) -> bool:
    return abs(seconds * 1e9 - mtime_ns) < TICK_NS
