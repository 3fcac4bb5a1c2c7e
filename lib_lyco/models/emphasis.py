"""The brackets of weighted captions: which part of a text counts how much.

The grammar is the WebUI's, which sd-scripts shares: `(a)` counts 1.1 times, `[a]` 1 / 1.1 times, `(a:1.3)`
1.3 times, nested brackets multiply; a backslash takes the meaning from the bracket or backslash after it
and is left out itself; a bracket that is never closed reaches to the end, one that was never opened is a
character.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import groupby

ROUND, SQUARE = 1.1, 1 / 1.1
"""What a round and a square bracket multiply by."""

BREAK = "\x1e"
"""Stands where the text says BREAK, the WebUI's word for a new chunk."""

_WORD_BREAK = re.compile(r"\s*\bBREAK\b\s*")
_CLOSING_WEIGHT = re.compile(r":\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\)")
_FACTORS = {")": ROUND, "]": SQUARE}
_OPENING = {"(": ")", "[": "]"}
_ESCAPED = ("(", ")", "[", "]", "\\")


@dataclass
class _Reading:
    """The letters read so far, each with its weight, and where brackets were opened."""

    letters: list[str] = field(default_factory=list[str])
    weights: list[float] = field(default_factory=list[float])
    opened: dict[str, list[int]] = field(default_factory=lambda: {close: [] for close in _FACTORS})

    def take(self, letter: str) -> None:
        self.letters.append(letter)
        self.weights.append(1.0)

    def close(self, bracket: str, factor: float) -> bool:
        """Weighs what stands since the bracket was opened; False if none is open."""
        starts = self.opened[bracket]
        if not starts:
            return False
        for index in range(starts.pop(), len(self.weights)):
            self.weights[index] *= factor
        return True


def weighted_pieces(text: str, breaks: bool = False) -> list[tuple[str, float]]:
    """The pieces of a text, each with its weight; neighbours of equal weight are one piece.

    Args:
        text: With brackets.
        breaks: Whether the word BREAK is one; it and the spaces around it become `BREAK`.
    """
    text = _WORD_BREAK.sub(BREAK, text) if breaks else text
    reading, position = _Reading(), 0
    while position < len(text):
        position += _read(reading, text, position)
    for bracket, starts in reading.opened.items():
        while starts:
            reading.close(bracket, _FACTORS[bracket])
    runs = groupby(zip(reading.letters, reading.weights, strict=True), key=lambda pair: pair[1])
    return [("".join(letter for letter, _ in run), weight) for weight, run in runs]


def _read(reading: _Reading, text: str, position: int) -> int:
    """Reads what stands at a position; returns its length."""
    letter = text[position]
    if letter == "\\":
        escaped = text[position + 1 : position + 2]
        if escaped in _ESCAPED:
            reading.take(escaped)
            return 2
        return 1
    if letter in _OPENING:
        reading.opened[_OPENING[letter]].append(len(reading.letters))
        return 1
    weight = _CLOSING_WEIGHT.match(text, position)
    if weight and reading.close(")", float(weight[1])):
        return len(weight[0])
    if letter not in _FACTORS or not reading.close(letter, _FACTORS[letter]):
        reading.take(letter)
    return 1


def split_outside_brackets(text: str, separator: str) -> list[str]:
    """The text at its separators, but for those inside brackets that are closed again."""
    parts, start, position = [], 0, 0
    ends = _bracket_ends(text)
    while position < len(text):
        if position in ends:
            position = ends[position]
        elif text.startswith(separator, position):
            parts.append(text[start:position])
            position = start = position + len(separator)
        else:
            position += 2 if text[position] == "\\" else 1
    return [*parts, text[start:]]


def _bracket_ends(text: str) -> dict[int, int]:
    """Where each bracket that opens closes again, without those that never do."""
    ends: dict[int, int] = {}
    opened: dict[str, list[int]] = {")": [], "]": []}
    escaped = False
    for position, letter in enumerate(text):
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter in _OPENING:
            opened[_OPENING[letter]].append(position)
        elif letter in opened and opened[letter]:
            ends[opened[letter].pop()] = position
    return ends
