"""The drawing program: repeatable, distinct, said in words a tokenizer knows."""

import itertools

import numpy as np
import pytest

from lib_lyco.demo import drawing
from lib_lyco.demo.drawing import (
    COLOURS,
    SHAPES,
    Scene,
    caption,
    draw,
    plain_scene,
    random_scene,
    shape_mask,
)


def test_same_seed_same_pictures() -> None:
    def some(seed: int) -> list[bytes]:
        rng = np.random.default_rng(seed)
        return [draw(random_scene(rng), rng).tobytes() for _ in range(20)]

    assert some(3) == some(3)
    assert some(3) != some(4)


@pytest.mark.parametrize("size", [64, 128])
def test_picture_is_rgb_bytes_of_the_asked_size(size: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        picture = draw(random_scene(rng), rng, size)
        assert picture.shape == (size, size, 3)
        assert picture.dtype == np.uint8


def test_colours_are_far_apart_for_any_jitter() -> None:
    for (_, one), (_, two) in itertools.combinations(COLOURS.items(), 2):
        assert np.linalg.norm(np.subtract(one, two)) > 4 * drawing.COLOUR_JITTER * np.sqrt(3) / 2


def test_shapes_are_apart_at_equal_place_and_size() -> None:
    masks = {name: shape_mask(name, 64, (0.5, 0.5), 0.35) > 0.5 for name in SHAPES}
    for one, two in itertools.combinations(SHAPES, 2):
        both = (masks[one] & masks[two]).sum() / (masks[one] | masks[two]).sum()
        assert both < 0.85, (one, two)


def test_caption_names_what_the_scene_holds() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        scene = random_scene(rng)
        words = caption(scene, rng).replace(",", "").split()
        said = {scene.shape, scene.colour, scene.ground, scene.size, scene.texture, scene.second} - {""}
        assert said <= set(words)
        assert (scene.place in words) == (scene.place != "center")
        assert set(words) <= set(drawing.WORDS)


def test_scene_never_hides_its_shape() -> None:
    rng = np.random.default_rng(2)
    for _ in range(300):
        scene = random_scene(rng)
        assert len({scene.colour, scene.ground, scene.second} - {""}) == 2 + bool(scene.texture)


def test_plain_scenes_are_plain() -> None:
    rng = np.random.default_rng(2)
    scenes = [plain_scene(rng) for _ in range(200)]
    assert not any(scene.texture or scene.partner or scene.size == "small" for scene in scenes)
    assert {scene.shape for scene in scenes} == set(SHAPES)
    assert {scene.colour for scene in scenes} == set(COLOURS)


def test_unknown_shape_says_which_are_known() -> None:
    with pytest.raises(ValueError, match=r"'blob'.*circle"):
        draw(Scene("blob", "red", "blue"), np.random.default_rng(0))
