"""Masks: how much each place of an image counts in the loss, from its alpha channel or from a folder.

As in sd-scripts a mask is taken from the alpha channel or from the red channel of a second picture, is
resized and cropped like its image, averaged over the 8x8 pixels of each latent, and not normalised.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from torch import Tensor
from torch.nn import functional

from lib_lyco.errors import DataError
from lib_lyco.train.data.bucket import Size
from lib_lyco.train.data.header import EXTENSIONS, read_header
from lib_lyco.train.data.record import ImageRecord

LATENT_FACTOR = 8
_SAME_SHAPE = 0.02
"""By how much the aspects of a mask and its image may differ, as a share."""


def find_mask(folder: Path, record: ImageRecord) -> Path:
    """The picture in a folder of masks, or in its folder of the same name as the image's, that has the
    image's name, with any extension.

    Raises:
        DataError: There is none.
    """
    image = record.path
    names = (image.name, *(f"{image.stem}{extension}" for extension in EXTENSIONS))
    places = (folder / record.folder / name for name in names), (folder / name for name in names)
    found = next((path for path in chain(*places) if path.is_file()), None)
    if found is None:
        raise DataError(
            "An image has no mask.",
            where=str(image),
            expected=f"a picture {image.stem}.png (or .jpg, ...) in {folder}",
            remedy="Put a white picture there if the whole image counts.",
        )
    return found


def demand_masks(records: Iterable[ImageRecord]) -> None:
    """Raises DataError where an image of a subset with masks has none, or one of another shape."""
    for record in records:
        if record.subset.mask_folder:
            mask = find_mask(Path(record.subset.mask_folder), record)
            demand_same_shape(mask, read_header(mask).size, record)


def demand_same_shape(mask: Path, shape: Size, record: ImageRecord) -> None:
    """Raises DataError where a mask of this size has another shape than its image."""
    (width, height), size = shape, record.size
    if abs(width * size[1] / (height * size[0]) - 1) > _SAME_SHAPE:
        raise DataError(
            "A mask has not the shape of its image.",
            where=str(mask),
            got=f"{width}x{height} pixels",
            expected=f"{size[0]}x{size[1]} pixels, as {record.path.name}, or that shape in another size",
        )


def latent_mask(mask: Tensor) -> Tensor:
    """(1, h, w) in [0, 1] -> (1, h/8, w/8): the mean over the pixels of each latent."""
    return functional.avg_pool2d(mask, LATENT_FACTOR)
