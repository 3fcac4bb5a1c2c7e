"""Colour augmentation: now and then an image's hue or its brightness is changed a little.

Chances and ranges are those of sd-scripts (`AugHelper.color_aug`): a third of the images is changed, one
half of these in hue by up to 16 degrees, the other by a gamma of 0.95 to 1.05.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

import numpy
from numpy.typing import NDArray

ColourMode = Literal["off", "corrected", "kohya"]

_CHANCE, _HUE_CHANCE = 0.33, 0.5
_DEGREES = 16.0
_GAMMA = (0.95, 1.05)


@dataclass(frozen=True)
class ColourChange:
    """What is done to an image's colours."""

    degrees: float = 0.0
    """By how much the hue is turned."""
    gamma: float = 1.0
    kohya: bool = False
    """Whether gamma is applied to bytes instead of to brightness: then 1.05 turns all above 196 white."""

    def apply(self, pixels: NDArray[numpy.uint8]) -> NDArray[numpy.uint8]:
        """RGB bytes (h, w, 3) -> RGB bytes (h, w, 3)."""
        values = pixels.astype(numpy.float64)
        if self.gamma != 1 and self.kohya:
            return (values**self.gamma).clip(0, 255).astype(numpy.uint8)
        if self.gamma != 1:
            values = 255 * (values / 255) ** self.gamma
        if self.degrees:
            values = _turned(values, self.degrees)
        return values.round().clip(0, 255).astype(numpy.uint8)


def draw_change(mode: ColourMode, chance: random.Random) -> ColourChange | None:
    """What is done to one showing of an image; None in two thirds of the cases."""
    if mode == "off" or chance.random() > _CHANCE:
        return None
    if chance.random() > _HUE_CHANCE:
        return ColourChange(degrees=chance.uniform(-_DEGREES, _DEGREES))
    return ColourChange(gamma=chance.uniform(*_GAMMA), kohya=mode == "kohya")


def _turned(values: NDArray[numpy.float64], degrees: float) -> NDArray[numpy.float64]:
    """Turns the hue in HSV (Smith 1978, *Color gamut transform pairs*): saturation and value stay.

    The hue H in sixths of the circle gives each channel value - chroma * ramp((k + H) mod 6) with
    ramp(x) = min(max(min(x, 4 - x), 0), 1) and k = 5, 3, 1 for R, G, B.
    """
    value = values.max(axis=-1)
    chroma = value - values.min(axis=-1)
    red, green, blue = numpy.moveaxis(values, -1, 0)
    divisor = numpy.where(chroma > 0, chroma, 1)
    hue = numpy.select(
        [value == red, value == green],
        [(green - blue) / divisor, (blue - red) / divisor + 2],
        (red - green) / divisor + 4,
    )
    place = (numpy.array([5.0, 3.0, 1.0]) + (hue + degrees / 60)[..., None]) % 6
    ramp = numpy.minimum(place, 4 - place).clip(0, 1)
    return value[..., None] - chroma[..., None] * ramp
