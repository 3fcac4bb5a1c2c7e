"""Image files become tensors: upright, RGB, transparency on a colour, resized and cropped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from numpy.typing import NDArray
from PIL import Image, ImageColor
from torch import Tensor

from lib_lyco.errors import ConfigError
from lib_lyco.train.data.bucket import Placement, Size
from lib_lyco.train.data.header import BROKEN, is_transparent, unreadable, upright

Colour = tuple[int, int, int]

_METHODS = {
    "area": Image.Resampling.BOX,
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}


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


@dataclass(frozen=True)
class Picture:
    """An upright image in memory, and what counts in it."""

    image: Image.Image
    """RGB."""
    mask: Image.Image | None = None
    """Gray, of the same shape in any size: white counts, black does not; None if all counts."""


def read_picture(path: Path, background: Colour, alpha_mask: bool = False, draft: int = 0) -> Picture:
    """The upright RGB image, transparent parts replaced by the background.

    Args:
        path: The image file.
        background: What shows behind transparent parts.
        alpha_mask: Whether its alpha channel is its mask.
        draft: Pixels of a side that are enough: a JPEG is then decoded at a half, a quarter or an eighth.

    Raises:
        DataError: The file is no readable image.
    """
    try:
        with Image.open(path) as image:
            if draft:
                image.draft(None, (draft, draft))
            whole = _eight_bit(upright(image))
            if not is_transparent(whole):
                return Picture(whole.convert("RGB"))
            layered = whole.convert("RGBA")
    except BROKEN as error:
        raise unreadable(path, error) from error
    ground = Image.new("RGBA", layered.size, (*background, 255))
    alpha = layered.getchannel("A") if alpha_mask else None
    return Picture(Image.alpha_composite(ground, layered).convert("RGB"), alpha)


def read_mask(path: Path) -> Image.Image:
    """The upright red channel of a picture (which is that of a gray one too).

    Raises:
        DataError: The file is no readable image.
    """
    return read_picture(path, (0, 0, 0)).image.getchannel("R")


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit gray images as 8-bit: Pillow's own conversion would clip them to white."""
    if not image.mode.startswith("I"):
        return image
    values = numpy.asarray(image).astype(numpy.float64)
    return Image.fromarray((values.clip(0, 65535) / 257).round().astype(numpy.uint8))


def place_image(
    image: Image.Image, placement: Placement, corner: Size, interpolation: str = "auto"
) -> NDArray[numpy.uint8]:
    """Resizes and crops an image.

    Args:
        image: RGB or gray.
        placement: To which size, and how large a crop.
        corner: Left and top of the crop.
        interpolation: A name of `_METHODS`; `auto` averages areas when shrinking, else takes Lanczos.

    Returns:
        (h, w, 3) bytes, or (h, w) of a gray image.
    """
    if image.size != placement.resized:
        shrinks = placement.resized[0] <= image.width and placement.resized[1] <= image.height
        automatic = "area" if shrinks else "lanczos"
        method = _METHODS[automatic if interpolation == "auto" else interpolation]
        image = image.resize(placement.resized, method)
    left, top = corner
    width, height = placement.bucket
    return numpy.array(image.crop((left, top, left + width, top + height)))


def as_tensor(pixels: NDArray[numpy.uint8]) -> Tensor:
    """RGB bytes (h, w, 3) -> (3, h, w) float32 in [-1, 1]."""
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1.0
