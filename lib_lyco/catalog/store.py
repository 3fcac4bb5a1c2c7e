"""The index on disk: SQLite, shared by several processes, whole after a kill at any moment.

Three tables. `files` repeats what can be read from files at any time, and `listings` which files some
folders had when they were last read; both are dropped when they are of another version. `kept` is what no
file says: when a network first appeared, stars, use. It is never dropped, and
its columns only ever grow. A database that is broken, or somebody else's, is set aside under another name,
and what can still be read of its `kept` goes into the new one. Where none can be written, the index lives
in memory until the process ends.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple, TypeVar

VERSION = 4
"""Of `files` and `listings`: raise it whenever what is kept there has another form or comes from another
reading."""

_APPLICATION = 0x4C59434F  # "LYCO"
_WAIT_SECONDS = 5.0
"""For another process that writes."""
_ATTEMPTS = 5
_PAUSE_SECONDS = 0.1
_FILES = """
CREATE TABLE IF NOT EXISTS files(
    path BLOB PRIMARY KEY, stamp TEXT NOT NULL, facts TEXT NOT NULL,
    beside TEXT NOT NULL, side TEXT NOT NULL) WITHOUT ROWID
"""
_LISTINGS = """
CREATE TABLE IF NOT EXISTS listings(folders TEXT PRIMARY KEY, files TEXT NOT NULL) WITHOUT ROWID
"""
_KEPT = """
CREATE TABLE IF NOT EXISTS kept(
    path BLOB PRIMARY KEY, content TEXT NOT NULL DEFAULT '', first_seen REAL NOT NULL DEFAULT 0,
    starred INTEGER NOT NULL DEFAULT 0, used_count INTEGER NOT NULL DEFAULT 0, last_used REAL,
    preview TEXT NOT NULL DEFAULT '') WITHOUT ROWID
"""

_Result = TypeVar("_Result")


class Row(NamedTuple):
    """One file's line in the index: what it says, and the state of the files that said so."""

    path: str
    stamp: str
    facts: str
    beside: str
    side: str


class Kept(NamedTuple):
    """What we keep of a network beyond its files."""

    path: str
    content: str = ""
    first_seen: float = 0.0
    """Seconds since 1970."""
    starred: bool = False
    used_count: int = 0
    last_used: float | None = None
    preview: str = ""
    """The preview that the user prefers, as `Preview.name`; "" for none."""


class Store:
    """The database. Safe to use from several threads; opened when first asked for.

    Args:
        path: The file, made with its folder where it is not there; None for memory alone.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = RLock()
        self._db: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self.generation = 0
        """Grows whenever another, perhaps empty, database has been opened."""
        self.problem: str | None = None
        """Why nothing is remembered beyond this process; None if all is well."""

    def rows(self, paths: Collection[str] | None = None) -> dict[str, Row]:
        """The lines of some files, or of all, by path."""
        query = "SELECT path, stamp, facts, beside, side FROM files"

        def read(db: sqlite3.Connection) -> dict[str, Row]:
            found = db.execute(query).fetchall() if paths is None else list[Any]()
            for path in paths or ():
                found += db.execute(f"{query} WHERE path = ?", (os.fsencode(path),))
            return {(path := os.fsdecode(line[0])): Row(path, *line[1:]) for line in found}

        return self._do(read)

    def save(self, rows: Sequence[Row]) -> None:
        """Adds or replaces lines, all or none."""
        values = [(os.fsencode(row.path), *row[1:]) for row in rows]
        self._write(lambda db: db.executemany("INSERT OR REPLACE INTO files VALUES(?, ?, ?, ?, ?)", values))

    def remove(self, paths: Iterable[str]) -> None:
        """Removes lines of files that are gone; what is kept of them stays."""
        values = [(os.fsencode(path),) for path in paths]
        self._write(lambda db: db.executemany("DELETE FROM files WHERE path = ?", values))

    def listing(self, folders: str) -> str:
        """What was last saved as the files of some folders; "" for nothing."""

        def read(db: sqlite3.Connection) -> str:
            found = db.execute("SELECT files FROM listings WHERE folders = ?", (folders,)).fetchone()
            return found[0] if found else ""

        return self._do(read)

    def save_listing(self, folders: str, files: str) -> None:
        """Replaces the files of some folders."""
        self._write(lambda db: db.execute("INSERT OR REPLACE INTO listings VALUES(?, ?)", (folders, files)))

    def kept(self) -> dict[str, Kept]:
        """All that is kept, by path."""

        def read(db: sqlite3.Connection) -> dict[str, Kept]:
            return {one.path: one for one in _read_kept(db)}

        return self._do(read)

    def kept_of(self, path: str) -> Kept:
        """What is kept of one path."""

        def read(db: sqlite3.Connection) -> Kept:
            return next(iter(_read_kept(db, "WHERE path = ?", os.fsencode(path))), Kept(path))

        return self._do(read)

    def keep(self, new: Sequence[Kept]) -> None:
        """Begins to keep what another process has not begun already."""
        self._write(lambda db: _insert_kept(db, new))

    def move(self, pairs: Iterable[tuple[str, str]]) -> None:
        """What is kept of the first path is the second's from now on: the file was renamed."""
        values = [(os.fsencode(new), os.fsencode(old)) for old, new in pairs]
        self._write(lambda db: db.executemany("UPDATE OR REPLACE kept SET path = ? WHERE path = ?", values))

    def set_contents(self, contents: Iterable[tuple[str, str]]) -> None:
        """Notes which content a path has now."""
        values = [(content, os.fsencode(path)) for path, content in contents]
        self._write(lambda db: db.executemany("UPDATE kept SET content = ? WHERE path = ?", values))

    def star(self, path: str, starred: bool) -> None:
        self._update("starred = ?", path, starred)

    def use(self, path: str, now: float) -> None:
        """Counts one use."""
        self._update("used_count = used_count + 1, last_used = ?", path, now)

    def choose_preview(self, path: str, name: str) -> None:
        self._update("preview = ?", path, name)

    def data_version(self) -> tuple[int, int]:
        """Changes when another process has written."""
        version: int = self._do(lambda db: db.execute("PRAGMA data_version").fetchone()[0])
        return self.generation, version

    def close(self) -> None:
        """Lets go of the file; the next question opens it again."""
        with self._lock:
            if self._db is not None:
                with suppress(sqlite3.Error):
                    self._db.close()
            self._db = None

    def _update(self, change: str, path: str, value: object) -> None:
        name = os.fsencode(path)

        def write(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR IGNORE INTO kept(path) VALUES(?)", (name,))
            db.execute(f"UPDATE kept SET {change} WHERE path = ?", (value, name))

        self._write(write)

    def _write(self, work: Callable[[sqlite3.Connection], object]) -> None:
        def transaction(db: sqlite3.Connection) -> None:
            # at once for writing: a reader that becomes a writer cannot wait for another one
            db.execute("BEGIN IMMEDIATE")
            try:
                work(db)
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

        self._do(transaction)

    def _do(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Does some work; where the database turns out to be broken, again with a new one."""
        found: Exception | None = None
        with self._lock:
            for attempt in range(_ATTEMPTS):
                try:
                    return work(self._opened())
                except (sqlite3.OperationalError, OSError) as error:
                    found = error
                except sqlite3.DatabaseError as error:
                    if type(error) is not sqlite3.DatabaseError:
                        raise  # a fault of ours; the bare class is SQLite's word for a broken file
                    found = error
                self.close()
                if _is_damage(found):
                    self._renew()
                else:
                    time.sleep(_PAUSE_SECONDS * attempt)
            self._give_up(found)
            return work(self._opened())

    def _opened(self) -> sqlite3.Connection:
        if self._db is not None and (self._path is None or _inode(self._path) == self._inode):
            return self._db
        self.close()
        self.generation += 1
        # noted before, so that a file which fails to open is known for what it is
        self._inode = None if self._path is None else _inode(self._path)
        self._db = _open(self._path)
        self._inode = None if self._path is None else _inode(self._path)
        return self._db

    def _renew(self) -> None:
        """Sets a broken file aside and begins a new one with what can be rescued."""
        if self._path is None or _inode(self._path) != self._inode:
            return  # another process has done so already
        with suppress(OSError, sqlite3.Error):
            kept = _rescue(_set_aside(self._path))
            db = _open(self._path)
            try:
                db.execute("BEGIN IMMEDIATE")
                _insert_kept(db, kept)
                db.execute("COMMIT")
            finally:
                db.close()

    def _give_up(self, error: Exception | None) -> None:
        """Goes on in memory."""
        self.close()
        self.problem = f"The index {self._path} cannot be used and is kept in memory only: {error}"
        self._path = None


def _open(path: Path | None) -> sqlite3.Connection:
    """Raises sqlite3.Error or OSError."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(
        ":memory:" if path is None else path,
        timeout=_WAIT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if (application, version) == (_APPLICATION, VERSION):
        db.execute("PRAGMA synchronous = NORMAL")
        return
    if application != _APPLICATION and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise sqlite3.DatabaseError("a database of another program")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("BEGIN IMMEDIATE")
    # asked again: another process may have been faster
    if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
        db.execute("DROP TABLE IF EXISTS files")
        db.execute("DROP TABLE IF EXISTS listings")
    db.execute(_FILES)
    db.execute(_LISTINGS)
    db.execute(_KEPT)
    db.execute(f"PRAGMA application_id = {_APPLICATION}")
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


def _insert_kept(db: sqlite3.Connection, kept: Sequence[Kept]) -> None:
    places = ", ".join("?" for _ in Kept._fields)
    statement = f"INSERT OR IGNORE INTO kept({', '.join(Kept._fields)}) VALUES({places})"
    db.executemany(statement, [(os.fsencode(one.path), *one[1:]) for one in kept])


def _read_kept(db: sqlite3.Connection, which: str = "", *values: bytes) -> Iterable[Kept]:
    """All that is kept, or what a WHERE says, in the order that an ORDER BY says."""
    found = db.execute(f"SELECT {', '.join(Kept._fields)} FROM kept {which}", values)
    for place, content, first_seen, starred, *rest in found:
        yield Kept(os.fsdecode(place), content, first_seen, bool(starred), *rest)


def _rescue(aside: Path) -> list[Kept]:
    """What can still be read of a broken database's `kept`: from either end up to the broken page."""
    found: dict[str, Kept] = {}
    for direction in ("ASC", "DESC"):
        with suppress(sqlite3.Error, OSError), closing(sqlite3.connect(aside)) as db:
            for one in _read_kept(db, f"ORDER BY path {direction}"):
                found[one.path] = one
    return list(found.values())


def _set_aside(path: Path) -> Path:
    """Gives a database and its journals another name.

    Raises:
        OSError: Somebody holds them, and the system is Windows.
    """
    number = 1
    while (aside := path.with_name(f"{path.stem}.broken-{number}{path.suffix}")).exists():
        number += 1
    os.replace(path, aside)
    for journal in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.replace(f"{path}{journal}", f"{aside}{journal}")
    return aside


def _is_damage(error: Exception) -> bool:
    """Whether a file is broken or not what it says, rather than locked or out of reach."""
    if isinstance(error, sqlite3.OperationalError):
        return "no such" in str(error) or "has no column" in str(error)
    return isinstance(error, sqlite3.DatabaseError)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
