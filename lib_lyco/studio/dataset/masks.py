"""Masks of a folder's images: shown, and made from alpha channels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from lib_lyco.errors import DataError
from lib_lyco.files.replacing import replace_file
from lib_lyco.studio.dataset.picture import Picture
from lib_lyco.studio.dataset.thumbnails import png
from lib_lyco.train.data.image import read_mask, read_picture
from lib_lyco.train.data.mask import find_mask
from lib_lyco.train.data.record import ImageRecord

_WHITE = (255, 255, 255)


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
    for picture in pictures:
        record = picture.record
        if record is None:
            continue
        try:
            find_mask(folder, record)
            kept += 1
        except DataError:
            alpha = read_picture(record.path, _WHITE, alpha_mask=True).mask
            mask = alpha or Image.new("L", record.size, 255)
            target = folder / record.folder / f"{record.path.stem}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(target, png(mask))
            made += 1
    return made, kept
