"""Image files: upright, opaque, RGB; whatever is not an image is one clear error."""

from __future__ import annotations

import random
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from lib_lyco.errors import ConfigError, DataError
from lib_lyco.train.data.bucket import Placement
from lib_lyco.train.data.header import read_header
from lib_lyco.train.data.image import as_tensor, parse_colour, place_image, read_mask, read_picture
from tests.train.conftest import PHOTOGRAPHS

WHITE = (255, 255, 255)


def read_image(path: Path, background: tuple[int, int, int]) -> Image.Image:
    return read_picture(path, background).image


def test_transparent_image_lies_on_the_background(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    picture.putpixel((1, 0), (0, 0, 0, 0))
    picture.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", WHITE).getpixel((1, 0)) == WHITE
    assert read_image(tmp_path / "a.png", (0, 0, 255)).getpixel((1, 0)) == (0, 0, 255)
    assert read_image(tmp_path / "a.png", WHITE).getpixel((0, 0)) == (200, 0, 0)


def test_palette_image_with_transparency_lies_on_the_background(tmp_path: Path) -> None:
    with Image.open(PHOTOGRAPHS / "logo.png") as logo:
        holed = logo.convert("RGBA")
    holed.paste((0, 0, 0, 0), (0, 0, 100, 100))
    holed.quantize(32).save(tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as saved:
        assert saved.mode == "P"
        assert "transparency" in saved.info
    pixels = numpy.asarray(read_image(tmp_path / "p.png", WHITE))
    assert (pixels[:100, :100] == 255).all()
    assert not (pixels[200:300, 200:300] == 255).all()


def test_gray_and_sixteen_bit_images_keep_their_brightness(tmp_path: Path) -> None:
    Image.new("L", (2, 2), 128).save(tmp_path / "l.png")
    Image.fromarray(numpy.full((2, 2), 128 * 257, dtype=numpy.uint16)).save(tmp_path / "i.png")
    for name in ("l.png", "i.png"):
        assert read_image(tmp_path / name, WHITE).getpixel((0, 0)) == (128, 128, 128)


def test_palette_gif_is_read() -> None:
    path = PHOTOGRAPHS / "no_time_for_that_tiny.gif"
    assert read_image(path, WHITE).size == read_header(path).size


def test_sideways_photograph_is_turned_upright(tmp_path: Path) -> None:
    upright = Image.new("RGB", (4, 2), "white")
    upright.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[274] = 6  # the camera was turned: rotate by 90 degrees clockwise to view
    upright.save(tmp_path / "a.png", exif=exif)
    assert read_header(tmp_path / "a.png").size == (2, 4)
    turned = read_image(tmp_path / "a.png", WHITE)
    assert turned.size == (2, 4)
    assert turned.getpixel((1, 0)) == (255, 0, 0)


def test_placed_image_is_scaled_cropped_and_in_range() -> None:
    picture = Image.new("RGB", (8, 8), "white")
    picture.paste((0, 0, 0), (0, 0, 8, 4))
    placed = as_tensor(place_image(picture, Placement(bucket=(4, 2), resized=(4, 4)), corner=(0, 1)))
    assert placed.shape == (3, 2, 4)
    assert torch.equal(placed[:, 0], torch.full((3, 4), -1.0))
    assert torch.equal(placed[:, 1], torch.full((3, 4), 1.0))


def test_shrinking_averages_areas() -> None:
    # kohya uses cv2.INTER_AREA: the mean of each area
    pixels = numpy.arange(16, dtype=numpy.uint8).reshape(4, 4) * 10
    picture = Image.fromarray(pixels).convert("RGB")
    means = pixels.astype(float).reshape(2, 2, 2, 2).mean(axis=(1, 3))
    for way in ("auto", "area"):
        placed = place_image(picture, Placement((2, 2), (2, 2)), (0, 0), way)
        assert numpy.abs(placed[..., 0] - means).max() <= 0.5


def test_one_side_that_stays_is_no_enlarging() -> None:
    picture = Image.fromarray(numpy.array([[0, 200], [100, 40]], dtype=numpy.uint8)).convert("RGB")
    placed = place_image(picture, Placement((1, 2), (1, 2)), (0, 0))
    assert placed[:, 0, 0].tolist() == [100, 70]


@pytest.mark.parametrize("way", ["lanczos", "bicubic", "bilinear", "nearest"])
def test_interpolation_is_the_one_asked_for(way: str) -> None:
    with Image.open(PHOTOGRAPHS / "chelsea.png") as photograph:
        picture = photograph.convert("RGB")
    size = (150, 100)
    placed = place_image(picture, Placement(size, size), (0, 0), way)
    expected = picture.resize(size, getattr(Image.Resampling, way.upper()))
    assert numpy.array_equal(placed, numpy.asarray(expected))
    larger = Placement((600, 400), (600, 400))
    automatic = place_image(picture, larger, (0, 0))
    assert numpy.array_equal(place_image(picture, larger, (0, 0), way), automatic) == (way == "lanczos")


def test_alpha_is_the_mask_where_it_is_asked_for(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    picture.putpixel((1, 0), (0, 0, 0, 51))
    picture.save(tmp_path / "a.png")
    picture.convert("RGB").save(tmp_path / "whole.png")
    found = read_picture(tmp_path / "a.png", WHITE, alpha_mask=True)
    assert found.mask is not None
    assert [found.mask.getpixel((x, 0)) for x in (0, 1)] == [255, 51]
    assert found.image.getpixel((1, 0)) == (204, 204, 204)
    assert read_picture(tmp_path / "a.png", WHITE).mask is None
    assert read_picture(tmp_path / "whole.png", WHITE, alpha_mask=True).mask is None


def test_mask_is_the_red_channel(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (100, 200, 50)).save(tmp_path / "rgb.png")
    Image.new("L", (1, 1), 30).save(tmp_path / "gray.png")
    assert read_mask(tmp_path / "rgb.png").getpixel((0, 0)) == 100
    assert read_mask(tmp_path / "gray.png").getpixel((0, 0)) == 30


def test_unreadable_files_are_one_clear_error(tmp_path: Path) -> None:
    whole = (PHOTOGRAPHS / "chelsea.png").read_bytes()
    for name, raw in (("text.png", b"no image"), ("cut.png", whole[: len(whole) // 2]), ("empty.png", b"")):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(DataError, match=name.replace(".", r"\.")):
            read_image(tmp_path / name, WHITE)


@pytest.mark.parametrize("name", ["horse.png", "rocket.jpg", "no_time_for_that_tiny.gif"])
def test_damaged_bytes_never_escape_as_another_error(tmp_path: Path, name: str) -> None:
    whole = bytearray((PHOTOGRAPHS / name).read_bytes()[:20000])
    chance = random.Random(1)
    path = tmp_path / name
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(chance.randrange(1, 12)):
            damaged[chance.randrange(min(len(damaged), 600))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            read_header(path)
            read_image(path, WHITE)
        except DataError:
            continue


def test_background_must_be_a_colour() -> None:
    assert parse_colour("#ff0000") == (255, 0, 0)
    with pytest.raises(ConfigError, match="background"):
        parse_colour("no colour")
