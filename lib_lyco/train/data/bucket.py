"""Aspect buckets: which (width, height) an image is trained at.

The formulas are those of kohya-ss/sd-scripts (`BucketManager`, `make_bucket_resolutions`), so that a
plan made there and one made here agree. One thing differs: an image too thin for any bucket is an
error here, there it gets a bucket of width 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lib_lyco.errors import DataError

Size = tuple[int, int]
"""(width, height) in pixels."""

_SHOWN = 5


@dataclass(frozen=True)
class Placement:
    """Where an image ends up: resized to `resized`, then cropped to `bucket`."""

    bucket: Size
    resized: Size

    @property
    def margin(self) -> Size:
        """Pixels that the crop takes away, both sides together."""
        return self.resized[0] - self.bucket[0], self.resized[1] - self.bucket[1]

    @property
    def centre(self) -> Size:
        """Left and top of the centre crop."""
        return self.margin[0] // 2, self.margin[1] // 2


@dataclass(frozen=True)
class Bucketing:
    """How buckets are chosen."""

    resolution: Size
    enabled: bool = True
    """Off: one bucket, the resolution; every image is resized to cover it."""
    smallest: int = 256
    largest: int = 1024
    step: int = 64
    upscale: bool = True
    """Off: an image is never enlarged, `smallest` and `largest` play no part."""

    def placements(self, sizes: Sequence[Size], names: Sequence[object] = ()) -> list[Placement]:
        """The placement of each image size, in order.

        Args:
            sizes: Of the images.
            names: What to call the images in an error; none are needed.

        Raises:
            DataError: Images are thinner than one step after resizing, or there is no bucket at all.
        """
        if not self.enabled:
            return [_cover(size, self.resolution) for size in sizes]
        if not self.upscale:
            placements = [self._shrink_only(size) for size in sizes]
            self._demand_wide(sizes, placements, names)
            return placements
        listed = self.listed()
        if not listed:
            raise DataError(
                "There is no bucket for the resolution.",
                got=f"resolution {self.resolution[0]}x{self.resolution[1]}, bucket_step {self.step}",
                expected="a bucket_step that is at most the resolution's side",
            )
        found = {size: _cover(size, _nearest(size, listed)) for size in set(sizes)}
        return [found[size] for size in sizes]

    def listed(self) -> list[Size]:
        """The buckets of upscale mode, sorted: every width in steps with the largest height that
        keeps the area within the resolution's, both orientations, and the square. `smallest` counts from
        the next step below, `largest` to the next above."""
        step, (width, height) = self.step, self.resolution
        smallest, largest = max(step, self.bounds[0]), self.bounds[1]
        area = width * height
        side = int(math.sqrt(area) // step) * step
        found = {(side, side)} if side else set[Size]()
        for one in range(smallest, largest + 1, step):
            other = min(largest, area // one // step * step)
            if other >= smallest:
                found |= {(one, other), (other, one)}
        return sorted(found)

    @property
    def bounds(self) -> Size:
        """`smallest` and `largest` in steps."""
        return _floored(self.smallest, self.step), -_floored(-self.largest, self.step)

    def _shrink_only(self, size: Size) -> Placement:
        resized = self._shrunk(size)
        return Placement((_floored(resized[0], self.step), _floored(resized[1], self.step)), resized)

    def _demand_wide(
        self, sizes: Sequence[Size], placements: Sequence[Placement], names: Sequence[object]
    ) -> None:
        thin = [index for index, placement in enumerate(placements) if 0 in placement.bucket]
        if thin:
            shown = thin[:_SHOWN]
            raise DataError(
                f"{len(thin)} images are too thin to be trained without upscaling.",
                where=", ".join(str(names[index]) for index in shown) if names else "",
                got=", ".join(f"{sizes[index][0]}x{sizes[index][1]}" for index in shown),
                expected=f"at least {self.step} pixels on each side when resized (bucket_step)",
                remedy="Crop or remove them, lower bucket_step, or switch bucket_upscale on.",
            )

    def _shrunk(self, size: Size) -> Size:
        """The size unchanged if its area fits; else shrunk so that one side is a multiple of the
        step: of the two ways, the one whose aspect is nearer to the image's."""
        area = self.resolution[0] * self.resolution[1]
        aspect = size[0] / size[1]
        if size[0] * size[1] <= area:
            return size
        width = math.sqrt(area * aspect)
        by_width = _floored(_rounded(width), self.step)
        by_height = _floored(_rounded(area / width), self.step)
        error_by_width = _aspect_error(by_width, _floored(_rounded(by_width / aspect), self.step), aspect)
        error_by_height = _aspect_error(
            _floored(_rounded(by_height * aspect), self.step), by_height, aspect
        )
        if error_by_width < error_by_height:
            return by_width, _rounded(by_width / aspect)
        return _rounded(by_height * aspect), by_height


def _aspect_error(width: int, height: int, aspect: float) -> float:
    return abs(width / height - aspect) if height else math.inf


def _rounded(length: float) -> int:
    return int(length + 0.5)


def _floored(length: int, step: int) -> int:
    return length - length % step


def _nearest(size: Size, listed: Sequence[Size]) -> Size:
    """The size itself if listed, else the bucket with the smallest absolute aspect difference."""
    aspect = size[0] / size[1]
    return size if size in listed else min(listed, key=lambda bucket: abs(bucket[0] / bucket[1] - aspect))


def _cover(size: Size, bucket: Size) -> Placement:
    """Resizes to the smallest size that covers the bucket."""
    by_height = size[0] / size[1] > bucket[0] / bucket[1]
    scale = bucket[1] / size[1] if by_height else bucket[0] / size[0]
    return Placement(bucket, (_rounded(size[0] * scale), _rounded(size[1] * scale)))
