"""What a mask hides is not learnt, on the embedded model.

Declared beforehand: the right half of every training picture is painted magenta. Trained without a mask
the right halves drawn come nearer to magenta; trained with masks that hide those halves, they come nearer
by less than a quarter of that. Distances are means over the right halves, in levels of 255.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_lyco.apply.wanted import Wanted
from lib_lyco.demo import embedded
from lib_lyco.demo.distance import Pixels
from lib_lyco.network.load import load_network
from lib_lyco.train.run import train
from tests.behaviour.test_training import CONCEPT_SEEDS, Ground
from tests.behaviour.test_training import ground as ground

MAGENTA = (255, 0, 255)


def spoilt(ground: Ground, folder: Path) -> tuple[Path, Path]:
    """The training pictures with a magenta right half, and the masks that hide it."""
    images, masks = folder / "images", folder / "masks"
    masks.mkdir()
    images.mkdir()
    half = embedded.SIZE // 2
    for file in sorted(ground.images.rglob("*.png")):
        with Image.open(file) as picture:
            painted = picture.convert("RGB")
        painted.paste(MAGENTA, (half, 0, embedded.SIZE, embedded.SIZE))
        painted.save(images / file.name)
        (images / file.name).with_suffix(".txt").write_bytes(file.with_suffix(".txt").read_bytes())
        mask = Image.new("L", painted.size)
        mask.paste(255, (0, 0, half, embedded.SIZE))
        mask.save(masks / file.name)
    return images, masks


def distance_from_magenta(pictures: Pixels) -> float:
    right = pictures[: len(CONCEPT_SEEDS), :, embedded.SIZE // 2 :].astype(float)
    return float(np.abs(right - np.array(MAGENTA)).mean())


@pytest.mark.slow
def test_what_a_mask_hides_is_not_drawn(ground: Ground, tmp_path: Path) -> None:
    images, masks = spoilt(ground, tmp_path)
    untrained = distance_from_magenta(ground.untrained)
    nearer: dict[str, float] = {}
    for name, folder in (("whole", ""), ("masked", str(masks))):
        config = ground.config("lora", tmp_path / name, images=str(images), mask_folder=folder)
        for _ in train(config, ground.model):
            pass
        network = load_network(tmp_path / name / "network.safetensors")
        nearer[name] = untrained - distance_from_magenta(ground.draw([Wanted(network)]))
    assert nearer["whole"] > 4 * max(nearer["masked"], 5), (untrained, nearer)
