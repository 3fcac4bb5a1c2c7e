"""The part of an image around a face.

The crop is that of sd-scripts (`BaseDataset.crop_target`); where it would fail, because the image is
smaller than what is trained, the image is enlarged here.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from lib_lyco.train.data.bucket import Size

_JITTER_SHARE = 20
"""A face is off the middle by up to a 20th of its size."""
_SMALL_FACE, _SMALL_SHARE = 40, 10
"""Faces below so many pixels, or below such a share of the side trained, are not moved."""


@dataclass(frozen=True)
class Face:
    """Where a face is, in pixels of the image file."""

    centre: Size
    size: int
    """The longer side of the box around it."""


@dataclass(frozen=True)
class FaceRange:
    """How large a face may be shown."""

    low: float
    high: float
    """Side of the picture over side of the face: 1 fills the picture with it, 2 half of it."""
    anywhere: bool = False
    """Whether the face may be anywhere, more often in the middle."""


def named_face(path: Path) -> Face | None:
    """The face that a file name like `photo_cx_cy_w_h.png` tells of (as sd-scripts' `detect_face_rotate`
    writes it); None if it tells of none."""
    words = path.stem.split("_")
    if len(words) < 5 or not all(word.isdecimal() for word in words[-4:]):
        return None
    x, y, width, height = map(int, words[-4:])
    return Face((x, y), max(width, height)) if x and width and height else None


def face_crop(
    face: Face, size: Size, bucket: Size, sizes: FaceRange, chance: random.Random
) -> tuple[Size, Size]:
    """The size to resize to, and left and top of the crop.

    Args:
        face: The face in the image.
        size: (width, height) of the image.
        bucket: (width, height) of the crop.
        sizes: How large, and where, the face may be shown.
        chance: Draws size and place.
    """
    side = min(bucket)
    cover = max(bucket[0] / size[0], bucket[1] / size[1])
    # never enlarged for the face's sake, never so small that the bucket is not covered
    least = max(cover, min(1.0, side / (face.size * sizes.high)))
    most = max(least, min(1.0, side / (face.size * sizes.low)))
    scale = chance.uniform(least, most) if least < most else least
    resized = tuple(
        max(target, int(length * scale + 0.5)) for length, target in zip(size, bucket, strict=True)
    )
    corner: list[int] = []
    moves = sizes.low != sizes.high and face.size > side // _SMALL_SHARE and face.size >= _SMALL_FACE
    for centre, length, target in zip(face.centre, resized, bucket, strict=True):
        middle = int(centre * scale + 0.5)
        start = middle - target // 2
        if sizes.anywhere:
            reach = max(length - middle, middle)
            start += chance.randint(0, reach) + chance.randint(0, reach) - reach
        elif moves:
            start += chance.randint(-(face.size // _JITTER_SHARE), face.size // _JITTER_SHARE)
        corner.append(max(0, min(start, length - target)))
    return (resized[0], resized[1]), (corner[0], corner[1])
