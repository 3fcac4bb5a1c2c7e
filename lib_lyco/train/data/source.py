"""Where a sample's pixels come from: which part of which image, mirrored or not, in which colours."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast

import torch
from torch import Tensor

from lib_lyco.train.data.bucket import Placement, Size
from lib_lyco.train.data.colour import ColourChange, ColourMode, draw_change
from lib_lyco.train.data.crop import FaceRange, face_crop, named_face
from lib_lyco.train.data.image import Colour, Picture, as_tensor, place_image, read_mask, read_picture
from lib_lyco.train.data.mask import find_mask, latent_mask
from lib_lyco.train.data.order import Sample
from lib_lyco.train.data.record import ImageRecord
from lib_lyco.train.seed import derived_seed

_In = TypeVar("_In")
_Out = TypeVar("_Out")

CropConditioning = Literal["true", "kohya"]


@dataclass(frozen=True)
class View:
    """What a sample shows of its image."""

    resized: Size
    """(width, height) of the whole image."""
    corner: Size
    """Left and top of the crop."""
    flipped: bool = False
    colour: ColourChange | None = None


@dataclass(frozen=True)
class SizeFacts:
    """What SDXL is told of a sample; (height, width) or (top, left) in pixels."""

    original: Size
    crop: Size
    target: Size


@dataclass(frozen=True)
class ImageSource:
    """The images of a run."""

    records: Sequence[ImageRecord]
    placements: Sequence[Placement]
    seed: int
    background: Colour = (255, 255, 255)
    crop_conditioning: CropConditioning = "true"

    def view(self, sample: Sample) -> View:
        """The view of a sample: a function of seed, epoch, image and repeat."""
        options = self.records[sample.image].subset
        resized, corner = self._crop(sample)
        flipped = options.flip and bool(torch.randint(2, (), generator=sample.generator(self.seed, "flip")))
        mode = cast(ColourMode, options.color_aug)
        colour = None if mode == "off" else draw_change(mode, self._chance(sample, "colour"))
        return View(resized, corner, flipped, colour)

    def _crop(self, sample: Sample) -> tuple[Size, Size]:
        """The size to resize to, and left and top of the crop."""
        record, placement = self.records[sample.image], self.placements[sample.image]
        options, sizes = record.subset, record.subset.face_crop_aug_range
        face = named_face(record.path) if sizes is not None else None
        if face is not None and sizes is not None:
            chance, bucket = self._chance(sample, "face"), placement.bucket
            return face_crop(face, record.size, bucket, FaceRange(*sizes, options.random_crop), chance)
        if not options.random_crop:
            return placement.resized, placement.centre
        generator = sample.generator(self.seed, "crop")
        left, top = (int(torch.randint(room + 1, (), generator=generator)) for room in placement.margin)
        return placement.resized, (left, top)

    def _chance(self, sample: Sample, purpose: str) -> random.Random:
        return random.Random(derived_seed(purpose, self.seed, sample.epoch, sample.image, sample.repeat))

    def kept_views(self, index: int) -> tuple[View, ...]:
        """All views that samples of an image can have, where nothing but the mirroring is drawn."""
        placement = self.placements[index]
        flips = (False, True) if self.records[index].subset.flip else (False,)
        return tuple(View(placement.resized, placement.centre, flipped) for flipped in flips)

    def files(self, index: int) -> tuple[Path, ...]:
        """The files that an image and its mask are made of."""
        mask = self._mask_file(index)
        return (self.records[index].path, *([mask] if mask else []))

    def picture(self, index: int) -> Picture:
        """The upright RGB image of a record, and its mask. Raises DataError if one cannot be read."""
        record, mask_file = self.records[index], self._mask_file(index)
        picture = read_picture(record.path, self.background, record.subset.alpha_mask)
        return picture if mask_file is None else Picture(picture.image, read_mask(mask_file))

    def _mask_file(self, index: int) -> Path | None:
        record = self.records[index]
        folder = record.subset.mask_folder
        return find_mask(Path(folder), record) if folder else None

    def pixels(self, picture: Picture, index: int, view: View) -> Tensor:
        """(3, h, w) float32 in [-1, 1]: a view of a record's image."""
        placement = Placement(self.placements[index].bucket, view.resized)
        method = self.records[index].subset.resize_interpolation
        placed = place_image(picture.image, placement, view.corner, method)
        if view.colour is not None:
            placed = view.colour.apply(placed)
        pixels = as_tensor(placed)
        return pixels.flip(-1) if view.flipped else pixels

    def mask(self, picture: Picture, index: int, view: View) -> Tensor | None:
        """(1, h/8, w/8) float32 in [0, 1]: how much each latent of a view counts; None if all count."""
        if picture.mask is None:
            return None
        placement = Placement(self.placements[index].bucket, view.resized)
        method = self.records[index].subset.resize_interpolation
        placed = torch.from_numpy(place_image(picture.mask, placement, view.corner, method))
        mask = latent_mask(placed[None].float() / 255)
        return mask.flip(-1) if view.flipped else mask

    def size_facts(self, sample: Sample) -> SizeFacts:
        """The sizes of a sample: of the file, the corner of the crop (mirrored with it), and the bucket."""
        view, size = self.view(sample), self.records[sample.image].size
        bucket = self.placements[sample.image].bucket
        if self.crop_conditioning == "kohya":
            left, top = _fitted_corner(size, bucket, view.flipped)
        else:
            left, top = view.corner
            left = view.resized[0] - bucket[0] - left if view.flipped else left
        return SizeFacts((size[1], size[0]), (top, left), (bucket[1], bucket[0]))


def _fitted_corner(size: Size, bucket: Size, flipped: bool) -> Size:
    """Left and top of the whole image when it is fitted into its bucket, as sd-scripts tells SDXL
    (`BucketManager.get_crop_ltrb`): 600x400 in 640x384 gives 32, 0 though nothing is cut at the sides."""
    aspect = size[0] / size[1]
    wider = bucket[0] / bucket[1] > aspect
    width = bucket[1] * aspect if wider else bucket[0]
    height = bucket[1] if wider else bucket[0] / aspect
    left = (bucket[0] - width) // 2
    return int(bucket[0] - (left + width) if flipped else left), int((bucket[1] - height) // 2)


def ordered_map(function: Callable[[_In], _Out], items: Iterable[_In], workers: int) -> Iterator[_Out]:
    """`map` with up to `workers` threads ahead; results come in the order of the items."""
    if workers == 0:
        yield from map(function, items)
        return
    waiting: deque[Future[_Out]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
