"""What a new process takes up of what the database has: the last reading of the folders, and the facts."""

from __future__ import annotations

import gc
import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from lib_lyco.catalog.facts import FileFacts
from lib_lyco.catalog.scan import Beside, NetworkFile
from lib_lyco.catalog.side import SideFacts
from lib_lyco.catalog.store import Row


def files_text(files: Sequence[NetworkFile]) -> str:
    """The files of a listing as JSON; bytes of names that are no text are escaped."""
    return json.dumps(files, separators=(",", ":"))


def read_files(text: str) -> list[NetworkFile]:
    """The files again; none where `files_text` of this version did not write it."""
    try:
        return [_file(*fields) for fields in json.loads(text or "[]")]
    except (ValueError, TypeError):
        return []


def _file(  # noqa: PLR0913  the fields of `NetworkFile`
    place: str, name: str, stamp: list[int], created: float, beside: list[Any], folder: str
) -> NetworkFile:
    texts = tuple(Beside(name, (mtime, size)) for name, (mtime, size) in beside)
    mtime, size = stamp
    return NetworkFile(place, name, (mtime, size), created, texts, folder)


@contextmanager
def uncollected() -> Generator[None, None, None]:
    """Without garbage collection, which would go through all of the host's objects several times over,
    since many new ones come at once; there is no garbage among them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def stamp_text(file: NetworkFile) -> str:
    """The state of a network's file, as in `Row.stamp`."""
    return "{} {}".format(*file.stamp)


def beside_text(file: NetworkFile) -> str:
    """The state of the files beside it, as in `Row.beside`."""
    return ascii([tuple(one) for one in file.beside]) if file.beside else ""


def known_facts(file: NetworkFile, row: Row | None) -> tuple[FileFacts | None, SideFacts | None]:
    """What the database has of a file as it is now."""
    if row is None:
        return None, None
    try:
        facts = FileFacts.from_json(row.facts) if row.stamp == stamp_text(file) else None
        side = SideFacts.from_json(row.side) if row.beside == beside_text(file) else None
    except (ValueError, TypeError, KeyError):
        return None, None
    return facts, side
