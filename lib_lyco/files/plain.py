"""Headers in the very form in which the reference implementation writes them, which nearly all are.

Files that were trained with the same settings have the same header behind their metadata, to the byte:
what was understood once is remembered.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate, pairwise, starmap
from types import MappingProxyType
from typing import NamedTuple

from lib_lyco.files.dtype import STORED

_MAX_CHARS = 1 << 20
_NUM_REMEMBERED = 16
_NUMBER = r"(?:0|[1-9][0-9]{0,17})"

_SHAPE = rf"(?:{_NUMBER}(?:,{_NUMBER}){{0,9}})?"
_PLAIN_SHAPE = re.compile(rf":\[({_SHAPE})\],")

_NUM_PIECES = 10
_VARIABLE = (1, 5, 8)
"""Key, dtype, shape."""

PLAIN_ENTRY = re.compile(
    r'"(?P<key>[^"\\\x00-\x1f]*)":{"dtype":"(?P<dtype>\w+)",'
    rf'"shape":\[(?P<shape>{_SHAPE})\],'
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


class _Columns(NamedTuple):
    """The same, column by column: thousands of objects fewer."""

    keys: list[str]
    dtypes: list[str]
    kinds: list[_Kind]
    ends: list[int]
    """One more: begins with 0."""


class _Kind(NamedTuple):
    """What tensors of one dtype and shape have in common."""

    shape: tuple[int, ...]
    size: int
    """In bytes."""


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
    found = _read_columns(text)
    if found is None:
        return None
    rows = zip(found.dtypes, (kind.shape for kind in found.kinds), found.ends, found.ends[1:], strict=False)
    return Plain(
        MappingProxyType(dict(zip(found.keys, starmap(TensorInfo, rows), strict=True))), found.ends[-1]
    )


def read_plain_shapes(rest: str, size: int) -> dict[str, tuple[int, ...]] | None:
    """As `read_plain`, the shapes alone, which nothing remembers; None also where the size is another."""
    text = rest.rstrip(" ")
    found = _read_columns(text) if len(text) <= _MAX_CHARS else None
    if found is None or found.ends[-1] != size:
        return None
    return dict(zip(found.keys, (kind.shape for kind in found.kinds), strict=True))


def _read_columns(text: str) -> _Columns | None:
    # between quotation marks stand, for each tensor, ten pieces in turn
    pieces = text.split('"')
    if len(pieces) % _NUM_PIECES != 1 or not text.endswith("}}") or not text.isprintable() or "\\" in text:
        return None
    keys, dtypes, shapes = (pieces[at::_NUM_PIECES] for at in _VARIABLE)
    known = {(dtype, shape): _kind(dtype, shape) for dtype, shape in set(zip(dtypes, shapes, strict=True))}
    kinds = [kind for one in zip(dtypes, shapes, strict=True) if (kind := known[one]) is not None]
    ends = list(accumulate((kind.size for kind in kinds), initial=0))
    # in the order of their bytes, and without gap: then there is but one way to write all this
    rows = zip(keys, dtypes, shapes, pairwise(ends), strict=False)
    entries = [
        f',"{key}":{{"dtype":"{dtype}","shape"{shape}"data_offsets":[{start},{end}]}}'
        for key, dtype, shape, (start, end) in rows
    ]
    if "".join(entries) != text[:-1]:
        return None
    if len(set(keys)) != len(keys) or "__metadata__" in keys:
        return None
    return _Columns(keys, dtypes, kinds, ends)


def _kind(dtype: str, shape: str) -> _Kind | None:
    """What a dtype and a shape between `:[` and `],` are; None where they are something else."""
    match = _PLAIN_SHAPE.fullmatch(shape)
    if match is None or dtype not in STORED:
        return None
    dims = tuple(map(int, match[1].split(","))) if match[1] else ()
    return _Kind(dims, math.prod(dims) * STORED[dtype].size)
