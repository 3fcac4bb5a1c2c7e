"""Changes of a folder's files that can be taken back, also after a restart.

A step is written down before its files are touched, so that a failure or a power cut in its midst leaves
something that undo mends. Files that somebody else has changed since are never overwritten.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lyco.errors import DataError, FileError
from lib_lyco.files.replacing import replace_file
from lib_lyco.studio.dataset.entries import EntryTexts

_KEPT = 100
"""Steps."""
_THREADS = 8


@dataclass(frozen=True)
class Write:
    """A small file gets another content."""

    path: Path
    before: bytes | None
    """None: there was no file."""
    after: bytes | None

    def reversed(self) -> Write:
        return Write(self.path, self.after, self.before)

    def state(self) -> bool | None:
        """Whether it is done; None if the file has a content that is neither."""
        now = _content(self.path)
        return True if now == self.after else False if now == self.before else None

    def do(self) -> None:
        """Raises FileError if the file cannot be written; it is as before then."""
        if self.after is not None:
            replace_file(self.path, self.after)
            return
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise _failed(self.path, error) from error


@dataclass(frozen=True)
class Move:
    """A file gets another place on the same disk; nothing is ever overwritten."""

    path: Path
    to: Path

    def reversed(self) -> Move:
        return Move(self.to, self.path)

    def state(self) -> bool | None:
        """Whether it is done; None if there is a file at both places, or at none."""
        here, there = self.path.exists(), self.to.exists()
        return None if here == there else there

    def do(self) -> None:
        """Raises FileError if the file cannot be moved; it is where it was then."""
        try:
            self.to.parent.mkdir(exist_ok=True)
            os.rename(self.path, self.to)
        except OSError as error:
            raise _failed(self.path, error) from error


Change = Write | Move | EntryTexts


@dataclass(frozen=True)
class Step:
    """What one action of the user changed."""

    label: str
    """A sentence for people."""
    group: str
    """Steps of one group, one after the other, are taken back together."""
    changes: Sequence[Change]


class History:
    """The steps of one folder.

    Args:
        folder: Whose files are changed.
        store: A folder for the histories of all folders.
    """

    def __init__(self, folder: Path, store: Path) -> None:
        self._folder = folder
        name = hashlib.blake2b(str(folder).encode("utf-8", "surrogateescape"), digest_size=10).hexdigest()
        self._store = store / name
        self._done = self._read_place()

    @property
    def undoes(self) -> str:
        """What undo would take back; "" if there is nothing."""
        return self._label(self._done)

    @property
    def redoes(self) -> str:
        """What redo would do again; "" if there is nothing."""
        return self._label(self._done + 1)

    def do(self, step: Step) -> None:
        """Makes the changes of a step, all or none of them.

        Raises:
            FileError: A file cannot be written or moved.
        """
        if not step.changes:
            return
        for number in [number for number in self._numbers() if number > self._done]:
            self._path(number).unlink(missing_ok=True)
        self._write(self._done + 1, step)
        self._to(self._done + 1)
        try:
            _make(step.changes)
        except FileError:
            self._path(self._done).unlink(missing_ok=True)
            self._to(self._done - 1)
            raise
        for number in self._numbers()[:-_KEPT]:
            self._path(number).unlink(missing_ok=True)

    def undo(self) -> list[Change]:
        """Takes the last step back, with those of its group: what was taken back.

        Raises:
            DataError: A file has been changed since by somebody else; nothing is touched then.
            FileError: A file cannot be written or moved; nothing is changed then.
        """
        undone: list[Change] = []
        group = ""
        while (step := self._read(self._done)) and group in ("", step.group):
            changes = [change.reversed() for change in reversed(step.changes)]
            _make(_undone(changes))
            undone += changes
            self._to(self._done - 1)
            group = step.group
        return undone

    def redo(self) -> list[Change]:
        """Makes the last step that was taken back again, with those of its group. Raises as `undo`."""
        redone: list[Change] = []
        group = ""
        while (step := self._read(self._done + 1)) and group in ("", step.group):
            _make(_undone(step.changes))
            redone += step.changes
            self._to(self._done + 1)
            group = step.group
        return redone

    def _path(self, number: int) -> Path:
        return self._store / f"{number:06d}.json"

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem) for path in self._store.glob("[0-9]*.json"))

    def _read_place(self) -> int:
        try:
            return int((self._store / "place").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    def _to(self, done: int) -> None:
        replace_file(self._store / "place", str(done).encode("ascii"))
        self._done = done

    def _write(self, number: int, step: Step) -> None:
        try:
            self._store.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _failed(self._store, error) from error
        head = {"label": step.label, "group": step.group}
        changes = [_to_json(self._folder, change) for change in step.changes]
        replace_file(self._path(number), f"{json.dumps(head)}\n{json.dumps(changes)}\n".encode("ascii"))

    def _label(self, number: int) -> str:
        """The first line is enough, a step may hold thousands of captions."""
        try:
            with self._path(number).open("rb") as file:
                return str(json.loads(file.readline())["label"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""  # there is no such step, or no whole one

    def _read(self, number: int) -> Step | None:
        try:
            head, changes = map(json.loads, self._path(number).read_bytes().splitlines())
            return Step(head["label"], head["group"], [_from_json(self._folder, one) for one in changes])
        except (OSError, ValueError, KeyError, TypeError):
            return None  # there is no such step, or no whole one


def _undone(changes: Sequence[Change]) -> list[Change]:
    """The changes that are not made yet. Raises DataError where a file is neither as before nor after."""
    states = [change.state() for change in changes]
    for change, state in zip(changes, states, strict=True):
        if state is None:
            raise DataError(
                "A file has been changed meanwhile.",
                where=str(change.path),
                remedy="Nothing was taken back, so that the newer content stays.",
            )
    return [change for change, state in zip(changes, states, strict=True) if not state]


def _make(changes: Sequence[Change]) -> None:
    """Makes changes, all or none."""
    # each waits for the disk on its own, so many wait together; no two are about the same file
    shares = [changes[first::_THREADS] for first in range(min(_THREADS, len(changes)))]
    with ThreadPoolExecutor(_THREADS) as pool:
        done = list(pool.map(_attempt, shares))
    error = next((error for _, error in done if error is not None), None)
    if error is not None:
        for made, _ in done:
            # what could be written a moment ago and cannot now is told by the first error
            _attempt([change.reversed() for change in reversed(made)])
        raise error


def _attempt(changes: Sequence[Change]) -> tuple[list[Change], FileError | None]:
    """Makes changes up to one that cannot be made: those that are made, and its error."""
    made: list[Change] = []
    for change in changes:
        try:
            change.do()
        except FileError as error:
            return made, error
        made.append(change)
    return made, None


def _to_json(folder: Path, change: Change) -> Mapping[str, Any]:
    # a metadata file may lie elsewhere
    path, root = str(change.path), os.path.join(folder, "")
    path = path.removeprefix(root).replace(os.sep, "/")
    if isinstance(change, Move):
        return {"path": path, "to": change.to.relative_to(folder).as_posix()}
    if isinstance(change, EntryTexts):
        return {"path": path, "texts_before": change.before, "texts_after": change.after}
    return {"path": path, "before": _text(change.before), "after": _text(change.after)}


def _from_json(folder: Path, told: Mapping[str, Any]) -> Change:
    path = folder / told["path"]
    if "to" in told:
        return Move(path, folder / told["to"])
    if "texts_after" in told:
        return EntryTexts(path, told["texts_before"], told["texts_after"])
    return Write(path, _bytes(told["before"]), _bytes(told["after"]))


def _text(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode("ascii")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failed(path, error) from error


def _failed(path: Path, error: OSError) -> FileError:
    return FileError(
        "A file cannot be changed.",
        where=str(path),
        got=error.strerror or str(error),
        remedy="Close the programs that use it and look at the folder's permissions.",
    )
