"""Masks of a folder's images: shown, made from alpha channels, and drawn by hand."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from lib_lyco.errors import DataError, FileError
from lib_lyco.files.replacing import replace_file
from lib_lyco.studio.dataset.history import Write
from lib_lyco.studio.dataset.picture import Picture
from lib_lyco.studio.dataset.thumbnails import png
from lib_lyco.train.data.bucket import Size
from lib_lyco.train.data.header import BROKEN
from lib_lyco.train.data.image import read_mask, read_picture
from lib_lyco.train.data.mask import find_mask
from lib_lyco.train.data.record import ImageRecord

_WHITE = (255, 255, 255)
_MOST, _LONGEST = 32 << 20, 4096
"""Letters, and pixels of a side, of a drawn mask."""


def default_mask_folder(folder: Path) -> Path:
    """Where masks are made if the user names no folder: beside the images, where nothing is trained on."""
    return folder.with_name(f"{folder.name}_masks")


def read_own_mask(record: ImageRecord) -> Image.Image | None:
    """The mask of an image as training finds it; None if all of it counts.

    Raises:
        DataError: There shall be one and is none, or it cannot be read.
    """
    options = record.subset
    if options.mask_folder:
        return read_mask(find_mask(Path(options.mask_folder), record))
    return read_picture(record.path, _WHITE, options.alpha_mask).mask


def make_masks(pictures: Iterable[Picture], folder: Path) -> tuple[int, int]:
    """Writes the alpha channels of images as masks, white ones for images without; masks that are there
    stay as they are.

    Args:
        pictures: The images.
        folder: Of the masks; they get a folder for each of the images' folders.

    Returns:
        How many were written, and how many were there.

    Raises:
        DataError: An image cannot be read.
        FileError: A mask cannot be written.
    """
    made = kept = 0
    white: dict[Size, bytes] = {}
    for picture in pictures:
        record = picture.record
        if record is None:
            continue
        try:
            find_mask(folder, record)
            kept += 1
        except DataError:
            mask = read_picture(record.path, _WHITE, alpha_mask=True).mask if record.transparent else None
            if mask is None and record.size not in white:
                white[record.size] = png(Image.new("L", record.size, 255))
            target = _target(folder, record)
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(target, white[record.size] if mask is None else png(mask))
            made += 1
    return made, kept


def mask_change(record: ImageRecord, folder: Path, drawn: Image.Image) -> Write:
    """The change that keeps a drawn mask, in the place of the one that training finds now.

    Args:
        record: The image.
        folder: Of the masks.
        drawn: Gray, of the image's shape in any size.

    Raises:
        FileError: The mask that is there cannot be read, or the folder not be made.
    """
    mask = drawn.resize(record.size, Image.Resampling.BILINEAR) if drawn.size != record.size else drawn
    try:
        path = find_mask(folder, record)
    except DataError:
        path = _target(folder, record)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise FileError("A mask cannot be kept.", where=str(path), got=str(error)) from error
    if path.suffix.lower() == ".png":
        return Write(path, before, png(mask))
    file = io.BytesIO()
    mask.convert("RGB").save(file, Image.registered_extensions()[path.suffix.lower()], quality=95)
    return Write(path, before, file.getvalue())


def read_drawn(told: str) -> Image.Image:
    """The gray picture in an address `data:image/png;base64,...`.

    Raises:
        DataError: It is none, or too large.
    """
    head, _, data = told.partition(",")
    try:
        if head != "data:image/png;base64" or len(data) > _MOST:
            raise ValueError(f"{head[:40]} with {len(data)} letters")
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True)), formats=["PNG"]) as image:
            if max(image.size) > _LONGEST:
                raise ValueError(f"{image.width}x{image.height} pixels")
            return image.convert("RGB").getchannel("R")
    except BROKEN as error:
        raise DataError("A drawn mask cannot be read.", got=str(error)) from error


def _target(folder: Path, record: ImageRecord) -> Path:
    return folder / record.folder / f"{record.path.stem}.png"
