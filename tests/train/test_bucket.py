"""Buckets against kohya's own: the table was made by sd-scripts' BucketManager."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lyco.errors import DataError
from lib_lyco.train.data.bucket import Bucketing, Size

UPSCALE = Bucketing(resolution=(512, 512))
SHRINK_ONLY = Bucketing(resolution=(512, 512), upscale=False)

KOHYA: tuple[tuple[Size, Size, Size], ...] = (
    # image, bucket with upscaling, bucket without (512x512, step 64); real photographs' sizes
    ((512, 512), (512, 512), (512, 512)),
    ((451, 300), (640, 384), (448, 256)),
    ((600, 400), (640, 384), (576, 384)),
    ((640, 427), (640, 384), (576, 384)),
    ((741, 500), (640, 384), (576, 384)),
    ((1000, 872), (576, 448), (512, 448)),
    ((1411, 1411), (512, 512), (512, 512)),
    ((500, 500), (512, 512), (448, 448)),
    ((512, 600), (448, 576), (448, 512)),
    ((762, 787), (512, 512), (448, 448)),
)


@pytest.mark.parametrize(("image", "with_upscaling", "without"), KOHYA)
def test_bucket_is_kohyas(image: Size, with_upscaling: Size, without: Size) -> None:
    assert UPSCALE.placements([image])[0].bucket == with_upscaling
    assert SHRINK_ONLY.placements([image])[0].bucket == without


def test_listed_buckets_of_768_by_512_follow_the_area() -> None:
    # by hand: area 98304, sides 128..512 in steps of 128
    listed = Bucketing(resolution=(384, 256), smallest=128, largest=512, step=128).listed()
    assert listed == [(128, 512), (256, 256), (256, 384), (384, 256), (512, 128)]


def test_limits_of_buckets_count_from_the_steps_around_them() -> None:
    # sd-scripts' adjust_min_max_bucket_reso_by_steps: 300 becomes 256, 1000 becomes 1024
    odd = Bucketing(resolution=(512, 512), smallest=300, largest=1000)
    assert odd.listed() == UPSCALE.listed()
    tiny = Bucketing(resolution=(64, 64), smallest=8, largest=100, step=32)
    assert tiny.listed() == [(32, 96), (32, 128), (64, 64), (96, 32), (128, 32)]


def test_nearest_bucket_is_by_width_over_height() -> None:
    # by hand: 210/400 = 0.525 is 0.0705 from 320/704 and 0.0750 from 384/640; by height over width
    # the second would be nearer
    assert UPSCALE.placements([(210, 400)])[0].bucket == (320, 704)


def test_crop_of_600_by_400_is_21_pixels_from_the_top() -> None:
    # 600x400 -> 640x427 -> 640x384: the true corner that kohya's crop_ltrb misses
    (placement,) = UPSCALE.placements([(600, 400)])
    assert (placement.resized, placement.centre) == ((640, 427), (0, 21))


def test_thin_image_without_upscaling_is_an_error() -> None:
    with pytest.raises(DataError, match="too thin"):
        SHRINK_ONLY.placements([(40, 900)])
    with pytest.raises(DataError, match=r"thin\.png, flat\.png") as caught:
        SHRINK_ONLY.placements([(40, 900), (512, 512), (900, 63)], ["thin.png", "a.png", "flat.png"])
    assert caught.value.got == "40x900, 900x63"


def test_buckets_off_gives_one_size() -> None:
    off = Bucketing(resolution=(512, 448), enabled=False)
    assert {placement.bucket for placement in off.placements([(300, 900), (1000, 20)])} == {(512, 448)}


@given(st.tuples(st.integers(64, 6000), st.integers(64, 6000)))
def test_resized_image_covers_its_bucket(image: Size) -> None:
    for bucketing in (UPSCALE, SHRINK_ONLY):
        if bucketing is SHRINK_ONLY and not 1 / 8 < image[0] / image[1] < 8:
            continue
        (placement,) = bucketing.placements([image])
        assert min(placement.margin) >= 0
        assert all(side % 64 == 0 for side in placement.bucket)
        assert placement.bucket[0] * placement.bucket[1] <= 512 * 512
