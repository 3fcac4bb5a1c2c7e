"""Windows batch files, as far as variables, conditions and jumps decide what is started.

The rules are those of cmd.exe: `%name%` is filled in when a statement, or a whole block in brackets,
is read, `!name!` when it is reached; quotes belong to a variable's value unless they stand around the
whole of `set "name=value"`; a caret at the end of a line joins it with the next.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from lib_lyco.errors import ConfigError

_MOST_JUMPS = 1000
_EARLY = re.compile(r"%~dp0|%(\w+)%", re.I)
_LATE = re.compile(r"!(\w+)!")
_COMMENT = re.compile(r"\s*@?\s*(rem(\s|$)|::)", re.I)
_CARET = re.compile(r"(?<!\^)\^[ \t]*$")
_SET = re.compile(r'set\s+(?:"([^"=]+)=(.*?)"|([^=\s"]+)\s*=(.*))', re.I | re.S)
_TEXT = r'"[^"]*"|[^\s=("]*'
_IF = re.compile(
    rf"if\s+(?:/i\s+)?(not\s+)?(?:(defined|exist)\s+({_TEXT})|({_TEXT})\s*==\s*({_TEXT}))\s*", re.I
)
_UNFOLLOWED = re.compile(r"(set\s+/[ap]|for)\b", re.I)


@dataclass(frozen=True)
class _Plain:
    """A statement without parts."""

    text: str
    line: int


@dataclass(frozen=True)
class _If:
    condition: str
    line: int
    then: tuple[_Statement, ...]
    otherwise: tuple[_Statement, ...]


_Statement = _Plain | _If


class _Exit(Exception):
    """The whole script is over."""


def run_batch(text: str, where: str = "") -> list[list[str]]:
    """The words of every command that the file would start, in their order; none is started.

    Raises:
        ConfigError: A condition or a jump cannot be followed, or the file never ends.
    """
    batch = _Batch(_Reader(_joined_lines(text), where).statements(), where)
    return list(batch.commands())


def split_words(text: str) -> list[str]:
    """The words of a line by Windows' rules: quotes hold words together, a backslash is a backslash."""
    words: list[str] = re.findall(r'(?:"[^"]*"?|[^\s"])+', text)
    return [word.replace('"', "") for word in words]


def _joined_lines(text: str) -> list[_Plain]:
    """Lines joined at their carets, without comments and empty ones."""
    lines: list[_Plain] = []
    begun = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not begun and _COMMENT.match(line):
            continue
        joined = begun + line
        goes_on = _CARET.search(joined)
        begun = joined[: goes_on.start()] if goes_on else ""
        if not goes_on and joined.strip():
            lines.append(_Plain(joined.strip().lstrip("@").strip(), number))
    if begun.strip():
        lines.append(_Plain(begun.strip(), len(text.splitlines())))
    return lines


class _Reader:
    """Lines become statements; what is in brackets becomes part of its `if`."""

    def __init__(self, lines: Sequence[_Plain], where: str) -> None:
        self._lines = list(reversed(lines))
        self._where = where

    def statements(self, *, in_block: bool = False) -> tuple[_Statement, ...]:
        """All that is left, or all of a block; the line that closes it stays."""
        found: list[_Statement] = []
        while self._lines and not (in_block and self._lines[-1].text.startswith(")")):
            line = self._lines.pop()
            found += self._parsed(line)
        if in_block and not self._lines:
            raise ConfigError("A bracket of the script is never closed.", where=self._where)
        return tuple(found)

    def _parsed(self, line: _Plain) -> list[_Statement]:
        if not re.match(r"if\b", line.text, re.I):
            return [_Plain(part, line.line) for part in _parts(line.text)]
        condition = _IF.match(line.text)
        if not condition:
            raise ConfigError(
                "A condition of the script cannot be followed.",
                where=f"{self._where}, line {line.line}",
                got=line.text[:80],
                expected="if [not] A==B, if [not] defined NAME, if [not] exist FILE",
                remedy="Take the condition out, or paste the training line alone.",
            )
        then, rest = self._branch(replace(line, text=line.text[condition.end() :]))
        otherwise: tuple[_Statement, ...] = ()
        if found := re.match(r"else\b\s*", rest.text, re.I):
            otherwise, _ = self._branch(replace(rest, text=rest.text[found.end() :]))
        return [_If(condition[0], line.line, then, otherwise)]

    def _branch(self, line: _Plain) -> tuple[tuple[_Statement, ...], _Plain]:
        """One branch of an `if`, and what follows it on its last line."""
        if not line.text.startswith("("):
            return tuple(self._parsed(line)), replace(line, text="")
        inside = line.text[1:].strip()
        end = _closing(inside)
        if end is not None:
            rest = replace(line, text=inside[end + 1 :].strip())
            inside = inside[:end].strip()
            return tuple(self._parsed(replace(line, text=inside))) if inside else (), rest
        if inside:
            self._lines.append(replace(line, text=inside))
        found = self.statements(in_block=True)
        last = self._lines.pop()
        return found, replace(last, text=last.text[1:].strip())


def _closing(text: str) -> int | None:
    """Where the bracket ends that was opened before the text; None if not in this line."""
    depth, quoted = 0, False
    for place, sign in enumerate(text):
        quoted ^= sign == '"'
        if not quoted and sign in "()":
            depth += 1 if sign == "(" else -1
            if depth < 0:
                return place
    return None


def _parts(text: str) -> list[str]:
    """The statements of a line, between & and && and ||."""
    parts: list[str] = re.findall(r'(?:"[^"]*"?|[^"&|]|\|(?!\|)|(?<=\^)&)+', text)
    return [part.strip().lstrip("@").strip() for part in parts if part.strip()]


class _Batch:
    """Goes through the statements as cmd would."""

    def __init__(self, statements: Sequence[_Statement], where: str) -> None:
        self._statements = statements
        self._where = where
        self._values: dict[str, str] = {}
        self._jumps = 0
        self._labels = {
            one.text[1:].split()[0].lower(): place
            for place, one in enumerate(statements)
            if isinstance(one, _Plain) and one.text.startswith(":") and one.text[1:].split()
        }

    def commands(self) -> Iterator[list[str]]:
        """The words of every command."""
        try:
            yield from self._from(0)
        except _Exit:
            return

    def _from(self, place: int | None) -> Iterator[list[str]]:
        """Everything from a statement on, until the file or the called part of it ends."""
        while place is not None and place < len(self._statements):
            filled = _filled(self._statements[place], self._early)
            place = yield from self._done([filled], place + 1)

    def _done(self, statements: Sequence[_Statement], place: int | None) -> Iterator[list[str]]:
        """Does statements; returns where to go on: `place` unless one of them jumps, None at an end."""
        for one in statements:
            went = place
            if isinstance(one, _If):
                branch = one.then if self._holds(one) else one.otherwise
                went = yield from self._done(branch, place)
            else:
                went = yield from self._plain(one, place)
            if went != place:
                return went
        return place

    def _plain(self, one: _Plain, place: int | None) -> Iterator[list[str]]:
        text = _LATE.sub(lambda found: self._values.get(found[1].lower(), ""), one.text)
        words = split_words(text)
        verb = words[0].lower() if words else ""
        if text.startswith(":") or not words:
            return place
        if verb == "goto" or verb == "call" and words[1:2] and words[1].startswith(":"):
            label = "".join(words[1:2]).lstrip(":").lower()
            target = None if label == "eof" else self._label(label, one)
            if verb == "goto":
                return target
            yield from self._from(target)
        elif verb == "exit":
            if "/b" not in (word.lower() for word in words):
                raise _Exit
            return None
        elif assigned := _SET.match(text):
            name, value = (assigned[1], assigned[2]) if assigned[1] else (assigned[3], assigned[4])
            self._values[name.strip().lower()] = value
        elif not _UNFOLLOWED.match(text):
            yield words
        else:
            raise ConfigError(
                "The script does something that cannot be followed without running it.",
                where=f"{self._where}, line {one.line}",
                got=text[:80],
                remedy="Write the values in its place, or paste the training line alone.",
            )
        return place

    def _label(self, label: str, one: _Plain) -> int:
        self._jumps += 1
        if label not in self._labels or self._jumps > _MOST_JUMPS:
            raise ConfigError(
                "The script never ends." if label in self._labels else "The script jumps to nowhere.",
                where=f"{self._where}, line {one.line}",
                got=one.text[:80],
            )
        return self._labels[label]

    def _holds(self, one: _If) -> bool:
        found = _IF.match(_LATE.sub(lambda name: self._values.get(name[1].lower(), ""), one.condition))
        if found is None:
            return False
        negated, test, name, left, right = found.groups()
        if test is None:
            same = str.lower if "/i" in one.condition.lower().split() else str
            holds = same(left) == same(right)
        else:
            # whether a file exists is another machine's matter: it is taken to
            holds = test.lower() == "exist" or name.lower() in self._values
        return holds != bool(negated)

    def _early(self, text: str) -> str:
        return _EARLY.sub(lambda found: self._values.get((found[1] or "").lower(), ""), text)


def _filled(one: _Statement, fill: Callable[[str], str]) -> _Statement:
    if isinstance(one, _Plain):
        return replace(one, text=fill(one.text))
    return _If(
        fill(one.condition),
        one.line,
        tuple(_filled(part, fill) for part in one.then),
        tuple(_filled(part, fill) for part in one.otherwise),
    )
