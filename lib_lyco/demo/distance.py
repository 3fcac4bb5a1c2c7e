"""How far generated pictures are from the training pictures, without any learned judge.

Three views of a picture, each compared on a scale of 0 to 1 and then averaged:

- layout: the picture at 8 x 8 pixels; root mean square difference of the colours;
- colours: a histogram of 4 x 4 x 4 RGB cells; half the sum of absolute differences (total variation);
- edges: gradient strength by 8 directions in 4 x 4 cells, of unit length as a whole; half the distance.

A generated picture's distance is that to its nearest training picture; lower is closer, 0 is a copy.
The number tells learning from not learning. It is no measure of beauty, and copying lowers it too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Vectors = NDArray[np.float64]

SIDE, LAYOUT_SIDE, NUM_LEVELS, NUM_DIRECTIONS, NUM_CELLS = 64, 8, 4, 8, 4


@dataclass(frozen=True)
class Views:
    """The three views of n pictures."""

    layout: Vectors
    """(n, 192) in 0..1"""
    colours: Vectors
    """(n, 64), each row sums to 1"""
    edges: Vectors
    """(n, 128), each row of length 1, or 0 for a picture without edges"""


def nearest_distances(generated: Pixels, training: Pixels) -> Vectors:
    """Distance of each generated picture to the nearest training picture.

    Args:
        generated: RGB bytes, (n, h, w, 3).
        training: RGB bytes, (m, h, w, 3), of any size.

    Returns:
        (n,) in 0..1.
    """
    ours, theirs = views(generated), views(training)
    layout = np.sqrt(_differences(ours.layout, theirs.layout, 2).mean(-1))
    colours = _differences(ours.colours, theirs.colours, 1).sum(-1) / 2
    edges = np.sqrt(_differences(ours.edges, theirs.edges, 2).sum(-1)) / 2
    return ((layout + colours + edges) / 3).min(axis=1)


def views(pictures: Pixels) -> Views:
    """The three views of pictures (n, h, w, 3)."""
    small = np.stack([_resized(picture) for picture in pictures])
    return Views(_layout(small), _colours(small), _edges(small))


def _resized(picture: Pixels) -> Vectors:
    """(h, w, 3) bytes -> (64, 64, 3) in 0..1."""
    image = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(image, dtype=np.float64) / 255


def _layout(pictures: Vectors) -> Vectors:
    return _cells(pictures, LAYOUT_SIDE).mean(axis=(2, 4)).reshape(len(pictures), -1)


def _colours(pictures: Vectors) -> Vectors:
    levels = np.minimum((pictures * NUM_LEVELS).astype(np.int64), NUM_LEVELS - 1)
    bins = (levels @ (NUM_LEVELS**2, NUM_LEVELS, 1)).reshape(len(pictures), -1)
    return np.stack([np.bincount(row, minlength=NUM_LEVELS**3) for row in bins]) / bins.shape[1]


def _edges(pictures: Vectors) -> Vectors:
    down, right = np.gradient(pictures.mean(-1), axis=(1, 2))
    strength = np.hypot(down, right)
    turn = np.arctan2(down, right) / (2 * np.pi) + 0.5
    direction = np.minimum((turn * NUM_DIRECTIONS).astype(np.int64), NUM_DIRECTIONS - 1)
    by_direction = strength[..., None] * np.eye(NUM_DIRECTIONS)[direction]
    flat = _cells(by_direction, NUM_CELLS).sum(axis=(2, 4)).reshape(len(pictures), -1)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, length, out=np.zeros_like(flat), where=length > 1e-9)


def _cells(pictures: Vectors, count: int) -> Vectors:
    """(n, 64, 64, c) -> (n, count, 64/count, count, 64/count, c)."""
    side = SIDE // count
    return pictures.reshape(len(pictures), count, side, count, side, -1)


def _differences(ours: Vectors, theirs: Vectors, power: int) -> Vectors:
    """(n, d) and (m, d) -> |difference| ** power, (n, m, d)."""
    return np.abs(ours[:, None] - theirs[None]) ** power
