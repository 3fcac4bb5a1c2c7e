"""Work in a process of its own: items, memory, errors, death."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from lib_lyco.demo.isolated import Isolated, IsolatedError
from lib_lyco.errors import DataError

MEGABYTE = 1 << 20


def count_up(end: int) -> Iterator[int]:
    yield from range(end)


def fill_memory(megabytes: int) -> Iterator[int]:
    block = bytearray(os.urandom(1024)) * (megabytes * 1024)
    for _ in range(20):
        yield len(block)
        time.sleep(0.02)


def fail_as_told(kind: str) -> Iterator[int]:
    yield 1
    if kind == "user":
        raise DataError("No cat.", where="folder", remedy="Get a cat.")
    if kind == "bug":
        raise ZeroDivisionError("oops")
    os._exit(7)


def test_items_arrive_in_order() -> None:
    assert list(Isolated(count_up, 5)) == [0, 1, 2, 3, 4]


def test_memory_of_the_other_process_is_seen() -> None:
    small, large = Isolated(fill_memory, 1), Isolated(fill_memory, 200)
    assert [len(list(small)), len(list(large))] == [20, 20]
    assert 150 * MEGABYTE < large.peak_bytes - small.peak_bytes < 260 * MEGABYTE


@pytest.mark.parametrize(
    ("kind", "words"),
    [("user", "No cat.\n  where: folder"), ("bug", "ZeroDivisionError: oops"), ("death", "7")],
)
def test_failure_arrives_after_the_items_before_it(kind: str, words: str) -> None:
    items = iter(Isolated(fail_as_told, kind))
    assert next(items) == 1
    with pytest.raises(IsolatedError, match="exit code 7" if kind == "death" else None) as caught:
        next(items)
    assert words in str(caught.value)
