"""Thumbnails and masks show what training sees."""

from __future__ import annotations

import io
from pathlib import Path

import numpy
import pytest
from PIL import Image

from lib_lyco.errors import DataError
from lib_lyco.studio.dataset.masks import default_mask_folder, make_masks, read_own_mask
from lib_lyco.studio.dataset.reader import content_key
from lib_lyco.studio.dataset.thumbnails import Thumbnails, mask_overlay
from tests.studio.dataset.pictures import listing_of, put_image

WHITE = (255, 255, 255)


def opened(data: bytes) -> Image.Image:
    """A picture of a file's bytes."""
    return Image.open(io.BytesIO(data))


def test_a_thumbnail_is_upright_small_and_on_the_background(tmp_path: Path) -> None:
    thumbnails = Thumbnails(tmp_path / "store")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    Image.new("RGB", (800, 400), "blue").save(tmp_path / "turned.jpg", exif=exif)
    made = opened(thumbnails.read(tmp_path / "turned.jpg", "ab1", WHITE))
    assert (made.format, made.size) == ("JPEG", (128, 256))
    put_image(tmp_path / "clear.png", (20, 20), "#00000000", "RGBA")
    for background in (WHITE, (0, 128, 0)):
        shown = numpy.asarray(opened(thumbnails.read(tmp_path / "clear.png", "cd2", background)))
        assert numpy.abs(shown[9, 9].astype(int) - background).max() < 4


def test_a_thumbnail_is_kept_by_content(tmp_path: Path) -> None:
    thumbnails, path = Thumbnails(tmp_path / "store"), put_image(tmp_path / "a.png")
    first_key = content_key(path)
    first = thumbnails.read(path, first_key, WHITE)
    path.unlink()
    assert thumbnails.read(path, first_key, WHITE) == first
    put_image(path, colour="blue", size=(50, 50))
    assert content_key(path) != first_key
    assert opened(thumbnails.read(path, content_key(path), WHITE)).size == (50, 50)
    with pytest.raises(DataError):
        thumbnails.read(tmp_path / "gone.png", "ef3", WHITE)


def test_masks_are_made_of_alpha_where_training_finds_them(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 32, 64))
    (folder / "2_cat").mkdir(parents=True)
    image.save(folder / "2_cat" / "half.png")
    put_image(folder / "2_cat" / "whole.jpg", (64, 64))
    masks = default_mask_folder(folder)
    listing = listing_of(folder)
    assert make_masks(listing.pictures.values(), masks) == (2, 0)
    assert make_masks(listing.pictures.values(), masks) == (0, 2)
    with_masks = listing_of(folder, mask_folder=str(masks))
    assert all(one.mask for one in with_masks.pictures.values())
    assert [one.problem for one in with_masks.pictures.values()] == ["", ""]
    record = with_masks.pictures["2_cat/half.png"].record
    assert record is not None
    mask = read_own_mask(record)
    assert mask is not None
    assert numpy.array_equal(numpy.asarray(mask), numpy.asarray(image.getchannel("A")))
    red = opened(mask_overlay(mask))
    assert [red.getpixel((9, 9)), red.getpixel((50, 9))] == [(220, 38, 38, 153), (220, 38, 38, 0)]


def test_an_image_without_its_mask_is_a_problem(tmp_path: Path) -> None:
    put_image(tmp_path / "images" / "a.png")
    (tmp_path / "masks").mkdir()
    (picture,) = listing_of(tmp_path / "images", mask_folder=str(tmp_path / "masks")).pictures.values()
    assert "no mask" in picture.problem
