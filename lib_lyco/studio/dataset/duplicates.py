"""Images that are there twice: the same bytes, or nearly the same picture.

A picture's look is what the difference hash keeps (N. Krawetz, "Kind of Like That", 2013), which way gray
changes between neighbours of a small copy, as numbers and not as bits: two looks are alike by the cosine
between them. A copy that was cut a little looks like the other one cut the same way, so the looks of some
crops are compared too. Recompressing, resizing and other brightness change hardly anything; a mirrored
picture is another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy
from numpy.typing import NDArray
from PIL import Image

from lib_lyco.studio.dataset.picture import Picture
from lib_lyco.train.data.image import Colour, read_picture

Look = NDArray[numpy.float32]
"""(crops, 2 * side * (side - 1)): of the whole picture, then of its crops; each of length 1."""

ALIKE = 0.9
"""From this cosine on pictures are nearly the same. On photographs, drawings and textures that come with
scikit-image, matplotlib and gradio copies are at 0.96 and above, if cut by up to a twentieth at 0.9 and
above (fine textures lower); different pictures at 0.65 and below, a stereo pair at 0.95."""
_SIDE = 8
_FLAT = 24.0
"""Levels of gray: a look with less change than this is no proof of anything."""
_ENDS = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
_CORNERS = ((1, 1, 0, 0), (0, 1, 1, 0), (1, 0, 0, 1), (0, 0, 1, 1))
_CUTS = (
    (0.0, (1, 1, 1, 1)),
    (0.02, (1, 1, 1, 1)),
    (0.04, (1, 1, 1, 1)),
    *((0.05, one) for one in _ENDS + _CORNERS),
)
CROPS = tuple(tuple(share * side for side in sides) for share, sides in _CUTS)
"""Shares that are cut off: left, top, right, bottom."""
LOOK_SIDE = 128
"""Pixels of a side that are enough."""
_ROWS = 128
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Doubles:
    """Images that show the same."""

    kind: Literal["same", "near"]
    names: tuple[str, ...]
    """The largest image first."""


def look_of(picture: Image.Image) -> Look:
    """What a picture looks like; of an RGB or gray one."""
    gray = picture.convert("L")
    gray.thumbnail((LOOK_SIDE, LOOK_SIDE), Image.Resampling.BOX)
    width, height = gray.size
    rows: list[NDArray[numpy.float32]] = []
    for left, top, right, bottom in CROPS:
        box = width * left, height * top, width * (1 - right), height * (1 - bottom)
        small = gray.resize((_SIDE, _SIDE), Image.Resampling.BOX, box)
        pixels = numpy.asarray(small, dtype=numpy.float32)
        across, down = numpy.diff(pixels, axis=1), numpy.diff(pixels, axis=0)
        rows.append(numpy.concatenate((across.ravel(), down.ravel())))
    looks = numpy.stack(rows)
    return looks / numpy.maximum(numpy.linalg.norm(looks, axis=1, keepdims=True), _FLAT)


def file_hash(path: Path) -> str:
    """A hash of all bytes of a file."""
    digest = hashlib.blake2b(digest_size=20)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def find_doubles(pictures: Sequence[Picture], looks: Sequence[Look]) -> list[Doubles]:
    """Groups of images that are the same, then of those that nearly are.

    Args:
        pictures: Images that can be read.
        looks: Of each.
    """
    same = same_files([picture.path for picture in pictures])
    copies = {index for group in same for index in group[1:]}
    firsts = [index for index in range(len(pictures)) if index not in copies]
    near = alike([looks[index] for index in firsts])
    return [
        *(_doubles("same", pictures, group) for group in same),
        *(_doubles("near", pictures, [firsts[one] for one in group]) for group in near),
    ]


def same_files(paths: Sequence[Path]) -> list[list[int]]:
    """Indices of files with the same bytes; only those of equal size are read."""
    by_size: dict[int, list[int]] = {}
    for index, path in enumerate(paths):
        by_size.setdefault(path.stat().st_size, []).append(index)
    by_content: dict[str, list[int]] = {}
    for group in by_size.values():
        for index in group if len(group) > 1 else ():
            by_content.setdefault(file_hash(paths[index]), []).append(index)
    return [group for group in by_content.values() if len(group) > 1]


def alike(looks: Sequence[Look]) -> list[list[int]]:
    """Indices of looks that are alike, directly or by way of others."""
    leader = list(range(len(looks)))

    def lead(index: int) -> int:
        while leader[index] != index:
            index = leader[index]
        return index

    for one, other in _pairs(looks):
        leader[lead(other)] = lead(one)
    groups: dict[int, list[int]] = {}
    for index in range(len(looks)):
        groups.setdefault(lead(index), []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def _pairs(looks: Sequence[Look]) -> Iterator[tuple[int, int]]:
    """Whose whole picture looks like the other's, or like a crop of it."""
    if not looks:
        return
    crops = numpy.stack(looks)
    whole = numpy.ascontiguousarray(crops[:, 0])
    crops = crops.reshape(-1, crops.shape[-1])
    for start in range(0, len(whole), _ROWS):
        cosines = whole[start : start + _ROWS] @ crops.T
        best = cosines.reshape(len(cosines), len(whole), -1).max(axis=2)
        for row, other in numpy.argwhere(best >= ALIKE):
            if start + row != other:
                yield start + int(row), int(other)


def _doubles(kind: Literal["same", "near"], pictures: Sequence[Picture], group: Sequence[int]) -> Doubles:
    def area(index: int) -> int:
        record = pictures[index].record
        return record.size[0] * record.size[1] if record else 0

    return Doubles(kind, tuple(pictures[index].name for index in sorted(group, key=area, reverse=True)))


def doubles_json(groups: Sequence[Doubles]) -> dict[str, object]:
    """For the page."""
    return {"groups": [{"kind": group.kind, "names": list(group.names)} for group in groups]}


class Looks:
    """Looks of images, as long as their files stay the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Colour], Look] = {}

    def of(self, path: Path, key: str, background: Colour) -> Look:
        """The look of an image.

        Args:
            path: The image.
            key: Another one for another content.
            background: What shows behind transparent parts.

        Raises:
            DataError: It cannot be read.
        """
        if (key, background) not in self._known:
            picture = read_picture(path, background, draft=LOOK_SIDE).image
            self._known[key, background] = look_of(picture)
        return self._known[key, background]
