"""The crop around a face, worked by hand from sd-scripts' formula."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lib_lyco.train.data.crop import Face, FaceRange, face_crop, named_face

CHANCES = [random.Random(seed) for seed in range(300)]


@pytest.mark.parametrize(
    ("name", "face"),
    [
        ("photo_400_300_100_80.png", Face((400, 300), 100)),
        ("my_own_photo_400_300_100_120.png", Face((400, 300), 120)),
        ("400_300_100_80.png", None),
        ("photo_0_300_100_80.png", None),
        ("a_b_c_d_e.png", None),
    ],
)
def test_face_is_read_from_the_file_name(name: str, face: Face | None) -> None:
    assert named_face(Path(name)) == face


def test_face_comes_to_the_middle_at_the_size_asked_for() -> None:
    # by hand: the face's 100 pixels are to be a half of 128, so scale 0.64; its centre 400, 300 comes to
    # 256, 192, and 64 pixels before that the crop begins
    crop = face_crop(Face((400, 300), 100), (1000, 800), (128, 128), FaceRange(2, 2), random.Random(0))
    assert crop == ((640, 512), (192, 128))


def test_scale_is_between_both_sizes_and_never_above_one() -> None:
    widths = [
        face_crop(Face((400, 300), 100), (1000, 800), (128, 128), FaceRange(2, 4), chance)[0][0]
        for chance in CHANCES
    ]
    assert 320 <= min(widths) < 330 and 630 < max(widths) <= 640
    near = face_crop(Face((500, 400), 30), (1000, 800), (128, 128), FaceRange(1, 1), random.Random(0))
    assert near == ((1000, 800), (436, 336))


def test_crop_stays_inside_and_covers_its_bucket() -> None:
    corner = face_crop(Face((10, 795), 100), (1000, 800), (128, 128), FaceRange(2, 2), random.Random(0))
    assert corner == ((640, 512), (0, 384))
    # the face asks for less than the bucket needs
    large = face_crop(Face((100, 90), 160), (200, 180), (128, 120), FaceRange(4, 4), random.Random(0))
    assert large[0] == (133, 120)
    small = face_crop(Face((20, 20), 30), (40, 50), (128, 128), FaceRange(2, 2), random.Random(0))
    assert small[0] == (128, 160)


def test_face_is_moved_a_little_where_sizes_are_drawn() -> None:
    places = {
        face_crop(Face((400, 300), 100), (1000, 800), (128, 128), FaceRange(2, 2.000001), chance)[1][0]
        for chance in CHANCES
    }
    assert places == set(range(192 - 5, 192 + 6))


def test_face_may_be_anywhere() -> None:
    corners = [
        face_crop(Face((400, 300), 100), (1000, 800), (128, 128), FaceRange(2, 2, anywhere=True), chance)[1]
        for chance in CHANCES
    ]
    across = [left for left, _ in corners]
    assert min(across) == 0 and max(across) > 440
    # the sum of two even draws: 1 - 0.7^2 = 0.51 of all lie within 0.3 of the reach around the middle
    near = sum(abs(left - 192) <= 0.3 * 384 for left in across) / len(across)
    assert near == pytest.approx(0.51, abs=0.08)
