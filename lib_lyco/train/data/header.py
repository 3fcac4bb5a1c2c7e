"""What an image file says about itself before its pixels are read.

A hundred thousand images are looked at before a run starts, so nothing here decodes pixels.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from PIL import ExifTags, Image, PngImagePlugin, TiffImagePlugin

from lib_lyco.errors import DataError
from lib_lyco.train.data.bucket import Size

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_PLUGINS = {".avif": ("pillow_avif", "pillow-avif-plugin"), ".jxl": ("pillow_jxl", "pillow-jxl-plugin")}
"""Extension -> module that teaches Pillow to read it where Pillow itself does not, and its package."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the image upright; from 5 on width and height change places."""
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, OverflowError)
BROKEN = (*_UNREADABLE, struct.error, MemoryError, Image.DecompressionBombError)
"""What Pillow raises on files that are no whole image."""


@dataclass(frozen=True)
class ImageHeader:
    """What the header of an image file says."""

    size: Size
    """Of the upright image."""
    transparent: bool
    """Whether it has an alpha channel or a transparent colour."""


def read_header(path: Path) -> ImageHeader:
    """Reads an image's header.

    Raises:
        DataError: The file is no readable image.
    """
    try:
        with Image.open(path) as image:
            width, height = _stored_size(image)
            size = (height, width) if orientation(image) >= 5 else (width, height)
            return ImageHeader(size, is_transparent(image))
    except BROKEN as error:
        raise unreadable(path, error) from error


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8. In a PNG only what stands before the pixels is looked at, else
    Pillow would have to decode all of them."""
    is_png = isinstance(image, PngImagePlugin.PngImageFile)
    exif = Image.Image.getexif(image) if is_png else image.getexif()
    value = exif.get(ExifTags.Base.Orientation, 1)
    return value if value in _TURNS else 1


def _stored_size(image: Image.Image) -> Size:
    """Width and height before any turning; Pillow's versions do not agree on when a TIFF is turned."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        width, height = (image.tag_v2[tag] for tag in (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength))
        return int(width), int(height)
    return image.size


def upright(image: Image.Image) -> Image.Image:
    """The image turned as its header says."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return image  # Pillow turns it when it reads the pixels
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def is_transparent(image: Image.Image) -> bool:
    """Whether the image has an alpha channel or a transparent colour."""
    bands = image.getbands()
    return "transparency" in image.info or "A" in bands or "a" in bands


def unreadable(path: Path, error: BaseException) -> DataError:
    """The error for a file that is no image."""
    return DataError(
        "An image cannot be read.",
        where=str(path),
        got=str(error) or type(error).__name__,
        expected="a whole PNG, JPEG, WebP, BMP, GIF or TIFF file",
        remedy="Open and save it again with an image editor, or remove it from the folder.",
    )


def readable_extensions() -> frozenset[str]:
    """The extensions of image files, in lower case; AVIF and JPEG XL where Pillow can read them."""
    known = frozenset(Image.registered_extensions())
    return frozenset(EXTENSIONS) | {one for one in _PLUGINS if one in known or _plugged_in(one)}


def missing_plugins(readable: frozenset[str]) -> dict[str, str]:
    """Extension -> package to install, for the kinds of images that cannot be read here."""
    return {one: package for one, (_, package) in _PLUGINS.items() if one not in readable}


def _plugged_in(extension: str) -> bool:
    module = _PLUGINS[extension][0]
    if find_spec(module) is None:
        return False
    import_module(module)  # registers itself with Pillow
    return extension in Image.registered_extensions()
