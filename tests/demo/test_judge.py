"""The judge must be right about true pictures before it may judge a model."""

import numpy as np
import pytest

from lib_lyco.demo.drawing import COLOURS, SHAPES, Scene, draw, plain_scene
from lib_lyco.demo.judge import judge


def test_right_on_true_pictures() -> None:
    rng = np.random.default_rng(11)
    scenes = [plain_scene(rng) for _ in range(500)]
    verdicts = [judge(draw(scene, rng)) for scene in scenes]
    pairs = list(zip(scenes, verdicts, strict=True))
    assert np.mean([s.ground == v.ground for s, v in pairs]) >= 0.99
    assert np.mean([s.colour == v.colour for s, v in pairs]) >= 0.99
    assert np.mean([s.shape == v.shape for s, v in pairs]) >= 0.99


@pytest.mark.parametrize("shape", SHAPES)
def test_right_through_blur_and_noise(shape: str) -> None:
    rng = np.random.default_rng(12)
    right = 0
    for _ in range(20):
        picture = draw(Scene(shape, "yellow", "blue", "large"), rng).astype(float)
        blurred = sum(np.roll(picture, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
        noisy = np.clip(blurred + rng.normal(0, 12, picture.shape), 0, 255).astype(np.uint8)
        verdict = judge(noisy)
        right += (verdict.shape, verdict.colour, verdict.ground) == (shape, "yellow", "blue")
    assert right >= 19


def test_an_empty_picture_has_no_shape() -> None:
    empty = np.full((64, 64, 3), COLOURS["red"], np.uint8)
    verdict = judge(empty)
    assert (verdict.ground, verdict.colour, verdict.shape) == ("red", "", "")


def test_noise_overlaps_with_nothing() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert judge(noise).overlap < 0.6


def test_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"64, 64, 3.*\(32, 32, 3\)"):
        judge(np.zeros((32, 32, 3), np.uint8))
