"""The distance between pictures: hand-made cases with known answers, and what a measure must do."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lib_lyco.demo.distance import nearest_distances, views

Pixels = NDArray[np.uint8]


def plain(value: int, side: int = 64) -> Pixels:
    return np.full((1, side, side, 3), value, np.uint8)


def halves(*, flipped: bool) -> Pixels:
    picture = plain(0)
    picture[:, :, 32:] = 255
    return np.ascontiguousarray(picture[:, :, ::-1]) if flipped else picture


def noise(seed: int, count: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 64, 3), np.uint8)


def test_copy_has_distance_zero_whatever_else_is_there() -> None:
    training = noise(0, 3)
    assert nearest_distances(training[1:2], training) == pytest.approx([0.0])


def test_black_and_white_differ_wholly_in_layout_and_colours() -> None:
    assert nearest_distances(plain(0), plain(255)) == pytest.approx([2 / 3])


def test_mirrored_picture_differs_in_layout_and_edges_only() -> None:
    left, right = views(halves(flipped=False)), views(halves(flipped=True))
    assert np.array_equal(left.colours, right.colours)
    # Every layout cell goes from 0 to 1 or back; the edge turns by half a circle: two unit vectors
    # without a common entry, sqrt(2) apart.
    assert nearest_distances(halves(flipped=False), halves(flipped=True)) == pytest.approx(
        [(1 + np.sqrt(2) / 2) / 3]
    )


def test_distance_grows_with_the_share_of_another_picture() -> None:
    ours, other = noise(1, 1).astype(float), halves(flipped=False).astype(float)
    mixed = [((1 - part) * ours + part * other).astype(np.uint8) for part in (0.0, 0.3, 0.6, 1.0)]
    found = [nearest_distances(picture, ours.astype(np.uint8))[0] for picture in mixed]
    assert found == sorted(found) and found[0] == 0 < found[1]


def test_distance_takes_the_nearest_and_is_within_bounds() -> None:
    ours, theirs = noise(2, 4), np.concatenate([noise(3, 2), plain(0), halves(flipped=True)])
    together = nearest_distances(ours, theirs)
    apart = np.stack([nearest_distances(ours, theirs[i : i + 1]) for i in range(len(theirs))])
    assert np.allclose(together, apart.min(axis=0))
    assert ((apart >= 0) & (apart <= 1)).all()


def test_size_of_a_picture_does_not_matter() -> None:
    assert nearest_distances(plain(90, 128), plain(90, 64)) == pytest.approx([0.0])
