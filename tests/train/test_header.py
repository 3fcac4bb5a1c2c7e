"""The header of an image: its upright size and its transparency, without its pixels."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from PIL import Image, ImageOps

from lib_lyco.errors import DataError
from lib_lyco.train.data.header import missing_plugins, read_header, readable_extensions, upright
from lib_lyco.train.data.image import read_picture
from tests.train.conftest import PHOTOGRAPHS


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("value", range(1, 9))
def test_every_orientation_is_turned_as_pillow_does(tmp_path: Path, extension: str, value: int) -> None:
    stored = Image.new("RGB", (48, 32), "gray")
    stored.paste((0, 0, 0), (0, 0, 24, 16))  # one corner, and a half of one side
    stored.paste((255, 255, 255), (24, 0, 48, 8))
    exif = Image.Exif()
    exif[274] = value
    stored.save(tmp_path / f"a{extension}", exif=exif, quality=100)
    stored.save(tmp_path / "b.png", exif=exif)
    with Image.open(tmp_path / "b.png") as saved:
        expected = ImageOps.exif_transpose(saved) or saved
    with Image.open(tmp_path / f"a{extension}") as saved:
        pixels = numpy.asarray(upright(saved), numpy.int16)
    assert abs(pixels - numpy.asarray(expected, numpy.int16)).mean() < 4
    assert read_header(tmp_path / f"a{extension}").size == expected.size
    assert expected.size == ((48, 32) if value < 5 else (32, 48))


def test_pixels_are_not_decoded(tmp_path: Path) -> None:
    # a file whose pixels are missing still has a size
    path = tmp_path / "cut.png"
    whole = (PHOTOGRAPHS / "chelsea.png").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert read_header(path).size == (451, 300)
    with pytest.raises(DataError, match="cut"):
        read_picture(path, (255, 255, 255))


def test_transparency_is_seen(tmp_path: Path) -> None:
    opaque = Image.new("RGB", (4, 4), "red")
    holed = opaque.convert("RGBA")
    holed.putpixel((0, 0), (0, 0, 0, 0))
    palette = holed.quantize(4)
    for name, image, transparent in (
        ("a.png", opaque, False),
        ("b.png", holed, True),
        ("c.png", palette, True),
        ("d.jpg", opaque, False),
        ("e.webp", holed, True),
        ("f.png", opaque.convert("LA"), True),
    ):
        image.save(tmp_path / name)
        assert read_header(tmp_path / name).transparent is transparent, name


def test_avif_and_jpeg_xl_are_images_where_pillow_reads_them() -> None:
    readable = readable_extensions()
    known = Image.registered_extensions()
    for extension, package in ((".avif", "pillow-avif-plugin"), (".jxl", "pillow-jxl-plugin")):
        assert (extension in readable) == (extension in known)
        assert missing_plugins(readable).get(extension) == (None if extension in known else package)
    assert missing_plugins(frozenset()) == {".avif": "pillow-avif-plugin", ".jxl": "pillow-jxl-plugin"}
    assert ".psd" not in readable
