"""Small pictures of images, as training sees them: upright, and with the background behind them."""

from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image

from lib_lyco.errors import FileError
from lib_lyco.files.replacing import replace_file
from lib_lyco.train.data.image import Colour, read_picture

SIDE = 256
LARGE = 1280
"""Longer sides in pixels: of a thumbnail, and of the picture that is looked at."""
MEDIA_TYPE = "image/jpeg"
_KEPT = 40_000
"""Thumbnails."""


class Thumbnails:
    """Thumbnails, kept on disk by the content of their image.

    Args:
        folder: Where; what lies there may be deleted at any time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_tidy = False

    def read(self, path: Path, key: str, background: Colour) -> bytes:
        """A thumbnail as a JPEG.

        Args:
            path: The image.
            key: Another one for another content.
            background: What shows behind transparent parts.

        Raises:
            DataError: The file is no readable image.
        """
        kept = self._folder / key[:2] / f"{key}-{bytes(background).hex()}.jpg"
        try:
            return kept.read_bytes()
        except OSError:
            made = small_picture(path, background, SIDE)
        try:
            self._tidy()
            kept.parent.mkdir(parents=True, exist_ok=True)
            replace_file(kept, made)
        except (OSError, FileError):
            pass  # it is made anew the next time
        return made

    def _tidy(self) -> None:
        """Deletes the oldest thumbnails, once, before there are too many."""
        if self._is_tidy:
            return
        self._is_tidy = True
        files = sorted(self._folder.glob("??/*.jpg"), key=os.path.getmtime)
        for file in files[: max(0, len(files) - _KEPT)]:
            file.unlink(missing_ok=True)


def small_picture(path: Path, background: Colour, side: int) -> bytes:
    """An image as a JPEG whose sides are at most so long. Raises DataError if it cannot be read."""
    picture = read_picture(path, background, draft=side).image
    picture.thumbnail((side, side), Image.Resampling.BOX if side <= SIDE else Image.Resampling.LANCZOS)
    return _encoded(picture, "JPEG", quality=85)


def mask_overlay(mask: Image.Image) -> bytes:
    """A mask as a PNG to lay over its image: red where the image counts less."""
    mask = mask.convert("L")
    mask.thumbnail((SIDE * 2, SIDE * 2))
    red = Image.new("RGBA", mask.size, (220, 38, 38, 0))
    red.putalpha(mask.point([round((255 - value) * 0.6) for value in range(256)]))
    return _encoded(red, "PNG")


def png(picture: Image.Image) -> bytes:
    """A picture as the bytes of a PNG."""
    return _encoded(picture, "PNG")


def _encoded(picture: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()
