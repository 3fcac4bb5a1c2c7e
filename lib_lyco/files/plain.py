"""Headers in the very form in which the reference implementation writes them, which nearly all are.

Files that were trained with the same settings have the same header behind their metadata, to the byte:
what was understood once is remembered.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from lib_lyco.files.dtype import STORED

_MAX_CHARS = 1 << 20
_NUM_REMEMBERED = 16
_NUMBER = r"(?:0|[1-9][0-9]{0,17})"

PLAIN_ENTRY = re.compile(
    r'"(?P<key>[^"\\\x00-\x1f]*)":{"dtype":"(?P<dtype>\w+)",'
    rf'"shape":\[(?P<shape>(?:{_NUMBER}(?:,{_NUMBER}){{0,9}})?)\],'
    rf'"data_offsets":\[(?P<start>{_NUMBER}),(?P<end>{_NUMBER})\]}},'
)
"""One tensor's entry, another one after it."""


class TensorInfo(NamedTuple):
    """Where one tensor lies and what it is."""

    dtype: str
    """As the format names it: `F32`, `BF16`, ..."""
    shape: tuple[int, ...]
    start: int
    """First byte, counted from `Header.data_start`."""
    end: int
    """One past the last byte."""


class Plain(NamedTuple):
    """All tensors of a header without fault."""

    tensors: Mapping[str, TensorInfo]
    size: int
    """Of their bytes, which follow each other without gap."""


def plain_info(match: re.Match[str]) -> TensorInfo:
    """What a `PLAIN_ENTRY` says."""
    _, dtype, shape, start, end = match.groups()
    return TensorInfo(dtype, tuple(map(int, shape.split(","))) if shape else (), int(start), int(end))


def read_plain(rest: str) -> Plain | None:
    """The tensors behind a header's metadata, if there is nothing odd about them.

    Args:
        rest: From the comma behind the metadata to the end, padding included.

    Returns:
        None for a header that has to be read with more care, to find its fault or its other form.
    """
    text = rest.rstrip(" ")
    return _read_plain(text) if len(text) <= _MAX_CHARS else None


@lru_cache(_NUM_REMEMBERED)
def _read_plain(text: str) -> Plain | None:
    if not text.startswith(",") or not text.endswith("}}"):
        return None
    text, at = text[:-1] + ",", 1
    tensors: dict[str, TensorInfo] = {}
    while at < len(text):
        match = PLAIN_ENTRY.match(text, at)
        if match is None or match["key"] in tensors or match["key"] == "__metadata__":
            return None
        info = tensors[match["key"]] = plain_info(match)
        if info.dtype not in STORED:
            return None
        if info.end - info.start != math.prod(info.shape) * STORED[info.dtype].size:
            return None
        at = match.end()
    size = 0
    for info in sorted(tensors.values(), key=lambda one: (one.start, one.end)):
        if info.start != size:
            return None
        size = info.end
    return Plain(MappingProxyType(tensors), size)
