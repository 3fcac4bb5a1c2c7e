"""What the commands write on the terminal: lines, tables, progress."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import NoReturn

from tqdm import tqdm


def survive_any_encoding() -> None:
    """Lets a console that cannot show a character show `?` instead of failing (Windows code pages)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def say(text: str = "") -> None:
    """Writes a line on stdout, above a progress bar if one is open."""
    tqdm.write(text, file=sys.stdout)


def complain(text: str) -> None:
    """Writes a line on stderr, above a progress bar if one is open."""
    tqdm.write(text, file=sys.stderr)


def progress_bar(total: int, what: str, unit: str) -> tqdm[NoReturn]:
    """A bar on stderr with the time left; a context manager."""
    return tqdm(total=total, desc=what, unit=unit, dynamic_ncols=True, file=sys.stderr, smoothing=0.1)


def fraction_bar() -> tqdm[NoReturn]:
    """A bar from 0 to 1 on stderr with the time left; a context manager."""
    shape = "{percentage:3.0f}% |{bar}| {elapsed} passed, {remaining} left   {desc}"
    return tqdm(total=1.0, bar_format=shape, dynamic_ncols=True, file=sys.stderr, smoothing=0)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns wide enough for their cells; the first is aligned left, the others right."""
    lines = [titles, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    ruler = ["-" * width for width in widths]
    return "\n".join(_line(line, widths) for line in (titles, ruler, *rows))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join((first, *others)).rstrip()
