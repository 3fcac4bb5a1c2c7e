"""Images that are there twice: the same bytes, or nearly the same picture.

Near ones are found by the difference hash (N. Krawetz, "Kind of Like That", 2013): the picture in gray and
9x8 pixels, one bit for each pixel that is darker than its right neighbour. Resizing, another file format
and small changes of colour leave the bits; a mirrored or a cropped picture has others.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy
from numpy.typing import NDArray
from PIL import Image

from lib_lyco.studio.dataset.picture import Picture

_WIDTH, _HEIGHT = 9, 8
NEAR = 4
"""Bits, of 64, that may differ."""
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Doubles:
    """Images that show the same."""

    kind: Literal["same", "near"]
    names: tuple[str, ...]
    """The largest image first."""


def difference_hash(picture: Image.Image) -> int:
    """64 bits: from the upper left, row by row, 1 where a pixel is darker than its right neighbour."""
    gray = picture.convert("L").resize((_WIDTH, _HEIGHT), Image.Resampling.BOX)
    pixels = numpy.asarray(gray)
    bits = (pixels[:, :-1] < pixels[:, 1:]).flatten()
    return int("".join("1" if bit else "0" for bit in bits), 2)


def file_hash(path: Path) -> str:
    """A hash of all bytes of a file."""
    digest = hashlib.blake2b(digest_size=20)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def find_doubles(
    pictures: Sequence[Picture],
    thumbnail: Callable[[Picture], bytes],
    on_progress: Callable[[int], bool],
) -> list[Doubles]:
    """Groups of images that are the same or nearly so.

    Args:
        pictures: Images that can be read.
        thumbnail: Makes a small picture of one, as a file's bytes.
        on_progress: Is told how many are done; False ends the search there.
    """
    seen: list[Picture] = []
    contents: list[str] = []
    looks: list[int] = []
    for number, picture in enumerate(pictures):
        if not on_progress(number):
            break
        seen.append(picture)
        contents.append(file_hash(picture.path))
        with Image.open(io.BytesIO(thumbnail(picture))) as small:
            looks.append(difference_hash(small))
    return group_doubles(seen, contents, looks)


def group_doubles(
    pictures: Sequence[Picture], contents: Sequence[str], looks: Sequence[int]
) -> list[Doubles]:
    """Groups by the hash of the bytes, then by how many bits of the difference hash are the same."""
    by_content: dict[str, list[int]] = {}
    for index, content in enumerate(contents):
        by_content.setdefault(content, []).append(index)
    found = [_doubles("same", pictures, same) for same in by_content.values() if len(same) > 1]
    firsts = [same[0] for same in by_content.values()]
    near = _near_groups([looks[index] for index in firsts])
    return found + [_doubles("near", pictures, [firsts[one] for one in group]) for group in near]


def _near_groups(looks: Sequence[int]) -> list[list[int]]:
    """Indices of hashes that differ in few bits, directly or by way of others."""
    hashes = numpy.array(looks, dtype=numpy.uint64)
    leader = list(range(len(looks)))

    def lead(index: int) -> int:
        while leader[index] != index:
            index = leader[index]
        return index

    for index in range(len(looks)):
        distances = bit_counts(hashes[index + 1 :] ^ hashes[index])
        for other in numpy.flatnonzero(distances <= NEAR):
            leader[lead(index + 1 + int(other))] = lead(index)
    groups: dict[int, list[int]] = {}
    for index in range(len(looks)):
        groups.setdefault(lead(index), []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def bit_counts(values: NDArray[numpy.uint64]) -> NDArray[numpy.int64]:
    """How many bits of each value are 1."""
    parts = numpy.ascontiguousarray(values).view(numpy.uint8).reshape(len(values), 8)
    return numpy.unpackbits(parts, axis=1).sum(axis=1, dtype=numpy.int64)


def _doubles(kind: Literal["same", "near"], pictures: Sequence[Picture], group: Sequence[int]) -> Doubles:
    def area(index: int) -> int:
        record = pictures[index].record
        return record.size[0] * record.size[1] if record else 0

    return Doubles(kind, tuple(pictures[index].name for index in sorted(group, key=area, reverse=True)))


def doubles_json(groups: Sequence[Doubles]) -> Mapping[str, object]:
    """For the page."""
    return {"groups": [{"kind": group.kind, "names": list(group.names)} for group in groups]}
