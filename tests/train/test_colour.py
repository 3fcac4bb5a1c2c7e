"""Colour augmentation against colorsys and against the formulas of sd-scripts."""

from __future__ import annotations

import colorsys
import random

import numpy
import pytest

from lib_lyco.train.data.colour import ColourChange, draw_change


def some_pixels() -> numpy.ndarray:
    return numpy.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(numpy.uint8)


@pytest.mark.parametrize("degrees", [-16.0, -3.5, 9.0])
def test_hue_is_turned_as_colorsys_does(degrees: float) -> None:
    pixels = some_pixels()
    pixels[0, 0], pixels[0, 1] = (0, 0, 0), (90, 90, 90)
    turned = ColourChange(degrees=degrees).apply(pixels)
    for before, after in zip(pixels.reshape(-1, 3), turned.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(before / 255))
        expected = colorsys.hsv_to_rgb((hue + degrees / 360) % 1, saturation, value)
        assert numpy.abs(after - 255 * numpy.array(expected)).max() <= 0.5 + 1e-6


def test_gamma_acts_on_brightness_or_as_kohya_on_bytes() -> None:
    pixels = numpy.array([[[0, 100, 255], [200, 196, 1]]], dtype=numpy.uint8)
    # by hand: 255 (100 / 255)^1.05 = 95.4; 100^1.05 = 125.89, 200^1.05 = 260.7, 196^1.05 = 255.3
    corrected = ColourChange(gamma=1.05).apply(pixels)
    assert corrected[0, 0].tolist() == [0, 95, 255]
    kohya = ColourChange(gamma=1.05, kohya=True).apply(pixels)
    assert kohya.tolist() == [[[0, 125, 255], [255, 255, 1]]]


def test_a_third_is_changed_half_of_it_in_hue() -> None:
    changes = [draw_change("corrected", random.Random(seed)) for seed in range(6000)]
    hues = [change.degrees for change in changes if change and change.degrees]
    gammas = [change.gamma for change in changes if change and change.gamma != 1]
    assert len(hues) / 6000 == pytest.approx(0.165, abs=0.02)
    assert len(gammas) / 6000 == pytest.approx(0.165, abs=0.02)
    assert -16 <= min(hues) < -15 and 15 < max(hues) <= 16
    assert 0.95 <= min(gammas) < 0.955 and 1.045 < max(gammas) <= 1.05
    assert draw_change("off", random.Random(0)) is None
