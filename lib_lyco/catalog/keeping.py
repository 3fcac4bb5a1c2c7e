"""Stars, use and first sight of networks: kept by path, and followed when a file gets another one."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping

from lib_lyco.catalog.entry import CatalogEntry
from lib_lyco.catalog.remembered import uncollected
from lib_lyco.catalog.store import Kept, Store

_FEW = 64
"""Lines that are read one by one rather than with all others."""


class Keeping:
    """What is kept, as it is now, whoever wrote it.

    Args:
        store: Where it is kept.
        clock: The time in seconds since 1970.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._kept: dict[str, Kept] = {}
        self._version: tuple[int, int] | None = None
        self.num_changes = 0
        """Grows with each change made here."""

    def now(self) -> Mapping[str, Kept]:
        """All that is kept, by path; read again where another process has written."""
        version = self._store.data_version()
        if version != self._version:
            with uncollected():
                self._kept, self._version = self._store.kept(), version
        return self._kept

    def star(self, path: str, starred: bool) -> None:
        self._store.star(path, starred)
        self._read([path])

    def use(self, path: str) -> None:
        """Counts one use, now."""
        self._store.use(path, self._clock())
        self._read([path])

    def choose_preview(self, path: str, name: str) -> None:
        self._store.choose_preview(path, name)
        self._read([path])

    def restore(self) -> None:
        """Writes down what is known here, where the database does not have it any more."""
        self._store.keep(list(self._kept.values()))
        self._version = None

    def follow(self, entries: Mapping[str, CatalogEntry], *, any_changed: bool) -> None:
        """Begins to keep what is new; what was kept of a file that is gone goes to its new name.

        Args:
            entries: All entries by path.
            any_changed: Whether a file has come, changed or gone.
        """
        kept = self.now()
        new = [entry for place, entry in entries.items() if place not in kept]
        if not (new or any_changed):
            return
        blank = [entry for place, entry in entries.items() if place in kept and _is_blank(kept[place])]
        orphans = _orphans(kept.values(), entries)
        moved: dict[str, str] = {}
        for entry in (*new, *(blank if orphans else ())):
            found = orphans.pop(_content(entry), None)
            if found is not None:
                moved[entry.file.place] = found
        self._store.move([(old, place) for place, old in moved.items()])
        self._store.keep([self._begun(entry) for entry in new if entry.file.place not in moved])
        contents = {
            place: _content(entry)
            for place, entry in entries.items()
            if place in kept and _content(entry) not in ("", kept[place].content)
        }
        self._store.set_contents(contents.items())
        self._read({*(entry.file.place for entry in new), *moved, *contents}, set(moved.values()))

    def _begun(self, entry: CatalogEntry) -> Kept:
        return Kept(entry.file.place, _content(entry), entry.file.created or self._clock())

    def _read(self, paths: Collection[str], gone: Collection[str] = ()) -> None:
        """Takes up some lines anew and drops others; where they are few, that is cheaper than all."""
        self.now()
        if len(paths) > _FEW:
            self._version = None
        else:
            others = {path: one for path, one in self._kept.items() if path not in gone}
            self._kept = {**others, **{path: self._store.kept_of(path) for path in paths}}
        self.num_changes += 1


def _orphans(kept: Iterable[Kept], entries: Mapping[str, CatalogEntry]) -> dict[str, str]:
    """Content -> the path of a file that had it and is gone; of several the one most used."""
    gone = [one for one in kept if one.content and one.path not in entries]
    gone.sort(key=lambda one: (one.starred, one.used_count))
    return {one.content: one.path for one in gone if not os.path.lexists(one.path)}


def _content(entry: CatalogEntry) -> str:
    return entry.facts.content if entry.facts else ""


def _is_blank(kept: Kept) -> bool:
    return not (kept.starred or kept.used_count or kept.preview)
