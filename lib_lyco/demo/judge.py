"""Names what a picture shows by its pixels alone: background, colour and shape.

The background is the palette colour of the border; the shape's colour is the
commonest other palette colour; the shape is the template that overlaps best with
the pixels that are not background, over a search of place and size.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lib_lyco.demo import drawing

SIDE = 64
ANGLES = (-0.1, 0.0, 0.1)
LEAST_AREA = 0.015

Flags = NDArray[np.bool_]
Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """Attributes:
    ground: background colour, a name in ``drawing.COLOURS``.
    colour: the shape's colour, or "" when nothing stands out.
    shape: a name in ``drawing.SHAPES``, or "" when nothing stands out.
    overlap: intersection over union with the best template, 0 to 1.
    """

    ground: str
    colour: str
    shape: str
    overlap: float


def palette_map(picture: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Number of the nearest palette colour of each pixel: ``(h, w, 3)`` to ``(h, w)``."""
    palette = np.asarray(list(drawing.COLOURS.values()), float)
    distance = ((picture.astype(float)[..., None, :] - palette) ** 2).sum(-1)
    return distance.argmin(-1)


def judge(picture: NDArray[np.uint8]) -> Verdict:
    """What a picture of one shape on a plain ground shows.

    Args:
        picture: RGB bytes ``(64, 64, 3)``.
    """
    if picture.shape != (SIDE, SIDE, 3):
        raise ValueError(f"the judge looks at ({SIDE}, {SIDE}, 3) bytes, got {picture.shape}")
    names = list(drawing.COLOURS)
    nearest = palette_map(picture)
    border = np.concatenate(
        [nearest[:3].ravel(), nearest[-3:].ravel(), nearest[:, :3].ravel(), nearest[:, -3:].ravel()]
    )
    ground = int(np.bincount(border, minlength=len(names)).argmax())
    mask = _foreground(picture, nearest, ground)
    if mask.mean() < LEAST_AREA:
        return Verdict(names[ground], "", "", 0.0)
    counts = np.bincount(nearest[mask], minlength=len(names))
    counts[ground] = 0
    shape, overlap = best_shape(mask)
    return Verdict(names[ground], names[int(counts.argmax())], shape, overlap)


def _foreground(picture: NDArray[np.uint8], nearest: NDArray[np.intp], ground: int) -> Flags:
    """Pixels nearer to the commonest other colour than to the background, ``(h, w)``."""
    outside = nearest != ground
    if not outside.any():
        return outside
    pixels = picture.astype(float)
    back = np.median(pixels[~outside], axis=0) if (~outside).any() else np.zeros(3)
    number = int(np.bincount(nearest[outside]).argmax())
    front = np.median(pixels[nearest == number], axis=0)
    return ((pixels - front) ** 2).sum(-1) < ((pixels - back) ** 2).sum(-1)


def best_shape(mask: Flags) -> tuple[str, float]:
    """The template with the largest overlap with ``mask`` ``(64, 64)``, and that overlap.

    Place and size are searched around the mask's centre and the size that its box
    suggests, so a template is never compared at a hopeless place.
    """
    templates, labels, areas = _templates()
    rows, columns = np.nonzero(mask)
    scores = np.zeros(len(labels))
    for centre in _centres(rows, columns):
        for radius in _radii(rows, columns):
            patch = _resample(mask, centre, radius)
            both = templates @ patch
            scores = np.maximum(scores, both / (areas + patch.sum() - both))
    best = int(scores.argmax())
    return labels[best], float(scores[best])


_GRID = 48
_REACH = 1.25


@lru_cache(maxsize=1)
def _templates() -> tuple[Reals, tuple[str, ...], Reals]:
    """All shapes at a few angles in a frame of 1.25 radii: ``(k, 48 * 48)``, names, areas ``(k,)``."""
    pictures = [
        (name, drawing.shape_mask(name, _GRID, (0.5, 0.5), 0.5 / _REACH, angle).ravel() > 0.5)
        for name in drawing.SHAPES
        for angle in ANGLES
    ]
    stack = np.stack([mask for _, mask in pictures]).astype(float)
    return stack, tuple(name for name, _ in pictures), stack.sum(1)


def _centres(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> list[tuple[float, float]]:
    """Candidate centres (x, y) in pixels: between the box's middle and the centroid."""
    middle = ((columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2)
    centroid = (columns.mean() + 0.5, rows.mean() + 0.5)
    shares = (0.0, 0.5, 1.0)
    return [
        (float(middle[0] * (1 - s) + centroid[0] * s), float(middle[1] * (1 - s) + centroid[1] * s + shift))
        for s in shares
        for shift in (-1.5, 0.0, 1.5)
    ]


def _radii(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> list[float]:
    """Candidate radii in pixels."""
    half = max(float(np.ptp(rows)), float(np.ptp(columns))) / 2 + 0.5
    return [half * factor for factor in (0.92, 1.0, 1.08, 1.16, 1.24)]


def _resample(mask: Flags, centre: tuple[float, float], radius: float) -> Reals:
    """The mask in a template's frame, nearest pixel, ``(48 * 48,)``; outside counts as background."""
    steps = ((np.arange(_GRID) + 0.5) / _GRID * 2 - 1) * _REACH * radius
    x = np.floor(centre[0] + steps).astype(int)
    y = np.floor(centre[1] + steps).astype(int)
    inside = ((y >= 0) & (y < mask.shape[0]))[:, None] & ((x >= 0) & (x < mask.shape[1]))[None, :]
    patch = mask[np.clip(y, 0, mask.shape[0] - 1)[:, None], np.clip(x, 0, mask.shape[1] - 1)[None, :]]
    return (patch & inside).astype(float).ravel()
