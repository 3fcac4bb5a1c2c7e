"""Image files become tensors: upright, RGB, transparency on a colour, resized and cropped."""

from __future__ import annotations

from pathlib import Path

import numpy
import torch
from PIL import Image, ImageColor
from torch import Tensor

from lib_lyco.errors import ConfigError
from lib_lyco.train.data.bucket import Placement, Size
from lib_lyco.train.data.header import BROKEN, is_transparent, unreadable, upright

Colour = tuple[int, int, int]


def parse_colour(text: str) -> Colour:
    """A colour by name or #rrggbb.

    Raises:
        ConfigError: There is no such colour.
    """
    try:
        return ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise ConfigError(
            "The background is no colour.",
            where="background",
            got=repr(text),
            expected="white, #ffffff, ...",
        ) from error


def read_image(path: Path, background: Colour) -> Image.Image:
    """The upright RGB image, transparent parts replaced by the background.

    Raises:
        DataError: The file is no readable image.
    """
    try:
        with Image.open(path) as image:
            return _composited(_eight_bit(upright(image)), background)
    except BROKEN as error:
        raise unreadable(path, error) from error


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit gray images as 8-bit: Pillow's own conversion would clip them to white."""
    if not image.mode.startswith("I"):
        return image
    values = numpy.asarray(image).astype(numpy.float64)
    return Image.fromarray((values.clip(0, 65535) / 257).round().astype(numpy.uint8))


def _composited(image: Image.Image, background: Colour) -> Image.Image:
    if not is_transparent(image):
        return image.convert("RGB")
    layered = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layered.size, (*background, 255)), layered).convert(
        "RGB"
    )


def place_image(image: Image.Image, placement: Placement, corner: Size) -> Tensor:
    """Resizes and crops an RGB image; `corner` is left and top of the crop.

    Returns:
        (3, h, w) float32 in [-1, 1]. Shrinking averages areas, enlarging uses Lanczos.
    """
    if image.size != placement.resized:
        shrinks = placement.resized[0] < image.width and placement.resized[1] < image.height
        method = Image.Resampling.BOX if shrinks else Image.Resampling.LANCZOS
        image = image.resize(placement.resized, method)
    left, top = corner
    width, height = placement.bucket
    pixels = numpy.array(image.crop((left, top, left + width, top + height)))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1.0
