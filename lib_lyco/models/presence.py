"""What somebody has put on a base model that others use as well: taken off and put on again as a whole."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from lib_lyco.models.base import BaseModel


class Part(Protocol):
    """One thing that is put on a model: hooks, modes, other weights."""

    def put_on(self) -> None:
        """Puts it on; where that fails, nothing of it stays."""
        ...

    def take_off(self) -> None:
        """Leaves the model as it was before."""
        ...


_P = TypeVar("_P")


@dataclass(eq=False)
class _Entry:
    part: Part
    of_base: bool
    absences: int

    def leave(self) -> None:
        self.absences += 1
        if self.absences == 1:
            self.part.take_off()

    def come_back(self) -> None:
        if self.absences == 1:
            self.part.put_on()
        self.absences -= 1


class Presence:
    """The parts that are on a model, in the order in which they came.

    Args:
        lent: Whether others use the model, too: then its weights stay on their device all the time.
    """

    def __init__(self, lent: bool = False) -> None:
        self.lent = lent
        self._entries: list[_Entry] = []
        self._is_here = True

    @contextmanager
    def holding(self, part: Part, of_base: bool = False) -> Generator[None]:
        """Within it the part is on the model, but for absences.

        Args:
            part: At the end it is taken off, unless it is off already: somebody may have put other
                weights there meanwhile.
            of_base: Whether the part belongs to the base model, for whoever trains on it.
        """
        entry = _Entry(part, of_base, 0 if self._is_here else 1)
        if self._is_here:
            part.put_on()
        self._entries.append(entry)
        try:
            yield
        finally:
            self._entries.remove(entry)
            if not entry.absences:
                entry.absences = 1
                part.take_off()

    def find(self, kind: type[_P]) -> _P | None:
        """The part of this kind, on the model or off."""
        return next((entry.part for entry in self._entries if isinstance(entry.part, kind)), None)

    def leave(self) -> None:
        """Takes everything off, the last first, until `come_back`. Does nothing if it has left already."""
        if self._is_here:
            self._is_here = False
            for entry in reversed(self._entries):
                entry.leave()

    def come_back(self) -> None:
        """Puts everything on again; where that fails, nothing stays on."""
        if self._is_here:
            return
        back: list[_Entry] = []
        try:
            for entry in self._entries:
                entry.come_back()
                back.append(entry)
        except BaseException:
            for entry in reversed(back):
                entry.leave()
            raise
        self._is_here = True

    @contextmanager
    def base_alone(self) -> Generator[None]:
        """Within it nothing is on the model but what belongs to the base."""
        left = list(self._others())
        for entry in reversed(left):
            entry.leave()
        try:
            yield
        finally:
            for entry in left:
                entry.come_back()

    def _others(self) -> Iterator[_Entry]:
        return (entry for entry in self._entries if not entry.of_base)


def presence_on(model: BaseModel) -> Presence:
    """Where to put things on a model that is lent, as its lender asks (its `presence`); else a new one."""
    found = getattr(model, "presence", None)
    return found if isinstance(found, Presence) else Presence()
