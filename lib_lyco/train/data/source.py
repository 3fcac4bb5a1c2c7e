"""Where a sample's pixels come from: which part of which image, mirrored or not."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor

from lib_lyco.train.data.bucket import Placement, Size
from lib_lyco.train.data.image import Colour, place_image, read_image
from lib_lyco.train.data.order import Sample
from lib_lyco.train.data.record import ImageRecord

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class View:
    """What a sample shows of its resized image."""

    corner: Size
    """Left and top of the crop."""
    flipped: bool = False


@dataclass(frozen=True)
class ImageSource:
    """The images of a run."""

    records: Sequence[ImageRecord]
    placements: Sequence[Placement]
    seed: int
    background: Colour = (255, 255, 255)
    flip: bool = False
    random_crop: bool = False

    def view(self, sample: Sample) -> View:
        """The view of a sample: a function of seed, epoch, image and repeat."""
        placement = self.placements[sample.image]
        corner = placement.centre
        if self.random_crop:
            generator = sample.generator(self.seed, "crop")
            left, top = (int(torch.randint(room + 1, (), generator=generator)) for room in placement.margin)
            corner = (left, top)
        flipped = self.flip and bool(torch.randint(2, (), generator=sample.generator(self.seed, "flip")))
        return View(corner, flipped)

    def image(self, index: int) -> Image.Image:
        """The upright RGB image of a record. Raises DataError if it cannot be read."""
        return read_image(self.records[index].path, self.background)

    def pixels(self, image: Image.Image, index: int, view: View) -> Tensor:
        """(3, h, w) float32 in [-1, 1]: a view of a record's image."""
        placed = place_image(image, self.placements[index], view.corner)
        return placed.flip(-1) if view.flipped else placed


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
