"""What a sample shows of its image, and what SDXL is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from lib_lyco.train.data.bucket import Bucketing
from lib_lyco.train.data.colour import ColourChange
from lib_lyco.train.data.image import Picture
from lib_lyco.train.data.order import Sample
from lib_lyco.train.data.source import CropConditioning, ImageSource, SizeFacts, View
from tests.train.records import record


def source(
    size: tuple[int, int],
    resolution: tuple[int, int] = (512, 512),
    name: str = "a.png",
    crop_conditioning: CropConditioning = "true",
    **options: Any,
) -> ImageSource:
    placements = Bucketing(resolution, enabled=resolution == (512, 512)).placements([size])
    one = record(path=name, size=size, **options)
    return ImageSource([one], placements, seed=0, crop_conditioning=crop_conditioning)


def samples(count: int) -> list[Sample]:
    return [Sample(0, epoch, 0) for epoch in range(count)]


def test_views_are_drawn_only_as_the_subset_says() -> None:
    plain = source((600, 400))
    assert {plain.view(sample) for sample in samples(50)} == {View((640, 427), (0, 21))}
    flipped = {source((600, 400), flip=True).view(sample).flipped for sample in samples(50)}
    assert flipped == {False, True}
    corners = {source((600, 400), random_crop=True).view(sample).corner for sample in samples(400)}
    assert corners == {(0, top) for top in range(44)}


def test_faces_are_shown_around_their_place_and_other_images_as_always() -> None:
    options: dict[str, Any] = {"resolution": (128, 128), "face_crop_aug_range": (2.0, 2.0)}
    face = source((1000, 800), name="photo_400_300_100_80.png", **options)
    assert face.view(Sample(0, 0, 0)) == View((640, 512), (192, 128))
    assert face.size_facts(Sample(0, 0, 0)) == SizeFacts((800, 1000), (128, 192), (128, 128))
    other = source((1000, 800), **options)
    assert other.view(Sample(0, 0, 0)) == View((160, 128), (16, 0))


def test_view_is_a_function_of_the_sample() -> None:
    options: dict[str, Any] = {"flip": True, "random_crop": True, "color_aug": "kohya"}
    views = [source((600, 400), **options).view(sample) for sample in samples(60)]
    assert views == [source((600, 400), **options).view(sample) for sample in samples(60)]
    changed = [view.colour for view in views if view.colour]
    assert 8 < len(changed) < 35
    assert all(change.kohya for change in changed if change.gamma != 1)


@pytest.mark.parametrize(
    ("way", "flipped", "crop"),
    [
        # 600x400 in 640x384: 43 rows are cut, 21 of them at the top; sd-scripts tells (top 0, left 32)
        ("true", False, (21, 0)),
        ("true", True, (21, 0)),
        ("kohya", False, (0, 32)),
        ("kohya", True, (0, 32)),
    ],
)
def test_crop_that_sdxl_is_told(way: Any, flipped: bool, crop: tuple[int, int]) -> None:
    one = source((600, 400), crop_conditioning=way, flip=True)
    sample = next(sample for sample in samples(50) if one.view(sample).flipped == flipped)
    assert one.size_facts(sample) == SizeFacts((400, 600), crop, (384, 640))


def test_true_crop_is_mirrored_with_the_image() -> None:
    # 300x400 at 64x64: resized to 64x85, 21 rows cut, 10 at the top; turned on its side 10 and 11 columns
    one = source((400, 300), (64, 64), flip=True)
    facts = {one.view(sample).flipped: one.size_facts(sample).crop for sample in samples(50)}
    assert facts == {False: (0, 10), True: (0, 11)}


def test_colours_change_before_the_image_is_mirrored_and_masks_do_not() -> None:
    one = source((16, 8), (16, 8))
    image = Image.new("RGB", (16, 8), (100, 100, 100))
    image.paste((200, 200, 200), (0, 0, 8, 8))
    half = Image.new("L", (16, 8))
    half.paste(255, (0, 0, 8, 8))
    view = View((16, 8), (0, 0), flipped=True, colour=ColourChange(gamma=1.05))
    pixels = one.pixels(Picture(image, half), 0, view)
    levels = ((pixels[0, 0] + 1) * 127.5).round().to(torch.uint8).tolist()
    bright, dark = (round(255 * (level / 255) ** 1.05) for level in (200, 100))
    assert levels == [dark] * 8 + [bright] * 8
    mask = one.mask(Picture(image, half), 0, view)
    assert mask is not None and mask.tolist() == [[[0.0, 1.0]]]


def test_interpolation_is_the_subsets(tmp_path: Path) -> None:
    image = Image.fromarray(numpy.random.default_rng(0).integers(0, 256, (16, 32, 3)).astype(numpy.uint8))
    image.save(tmp_path / "a.png")
    found: list[torch.Tensor] = []
    for way in ("auto", "nearest"):
        one = source((32, 16), (16, 8), name=str(tmp_path / "a.png"), resize_interpolation=way)
        found.append(one.pixels(one.picture(0), 0, one.kept_views(0)[0]))
    expected = numpy.array(image.resize((16, 8), Image.Resampling.NEAREST))
    assert torch.equal(
        ((found[1] + 1) * 127.5).round(), torch.from_numpy(expected).permute(2, 0, 1).float()
    )
    assert not torch.equal(found[0], found[1])
