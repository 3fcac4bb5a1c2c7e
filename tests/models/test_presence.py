"""What is put on a model that others use: on and off as a whole, in order, whatever fails."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from lib_lyco.models.presence import Presence


@dataclass
class Word:
    """A part that writes into a list."""

    place: list[str]
    word: str
    fails: bool = False

    def put_on(self) -> None:
        if self.fails:
            raise MemoryError
        self.place.append(self.word)

    def take_off(self) -> None:
        assert self.place.pop() == self.word


def test_leaving_takes_off_in_turn_and_coming_back_puts_on() -> None:
    presence, place = Presence(), list[str]()
    with presence.holding(Word(place, "base"), of_base=True), presence.holding(Word(place, "hooks")):
        for _ in range(2):
            assert place == ["base", "hooks"]
            presence.leave()
            presence.leave()
            assert place == []
            presence.come_back()
            presence.come_back()
        with presence.base_alone():
            assert place == ["base"]
            presence.leave()
            assert place == []
            presence.come_back()
            assert place == ["base"]
        assert place == ["base", "hooks"]
    assert place == []


def test_what_ends_while_it_is_away_touches_nothing() -> None:
    presence, place = Presence(), list[str]()
    with presence.holding(Word(place, "base"), of_base=True):
        with presence.base_alone(), presence.holding(Word(place, "hooks")):
            presence.leave()
            place.append("another's")
        assert place == ["another's"]
    assert place == ["another's"]
    place.clear()
    with presence.holding(Word(place, "late")):
        assert place == []
        presence.come_back()
        assert place == ["late"]
    assert place == []


def test_coming_back_is_whole_or_not_at_all() -> None:
    presence, place = Presence(), list[str]()
    short = Word(place, "short")
    with presence.holding(Word(place, "base")), presence.holding(short):
        presence.leave()
        short.fails = True
        with pytest.raises(MemoryError):
            presence.come_back()
        assert place == []
        short.fails = False
        presence.come_back()
        assert place == ["base", "short"]
    assert place == []
