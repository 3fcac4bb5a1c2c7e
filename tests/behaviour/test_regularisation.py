"""What regularisation keeps, and that the subject is learnt all the same, on the embedded model.

A cat is taught with the caption "a photo of a cat", which draws pictures of another photograph towards
the cat, too: their distance to its pictures falls, on the model measured by 0.085 of 0.555. With
regularisation, by pictures of the class that the base model itself drew (0.041) or by its predictions for
the class' caption (0.010), it falls by less than two thirds of that, and the cat's own pictures still come
nearer by the threshold of `test_training`. By how much pixels move is no measure: pictures of the class
move, towards those of the folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lib_lyco.apply.wanted import Wanted
from lib_lyco.demo.concepts import CAT
from lib_lyco.demo.distance import nearest_distances
from lib_lyco.network.load import load_network
from lib_lyco.train.run import train
from tests.behaviour.test_datasets import pictures_of
from tests.behaviour.test_training import CONCEPT_SEEDS, Ground, ground

__all__ = ["ground"]

CLASS = "a photo of a dog"
SEEDS = (21, 22, 23, 24)


@pytest.fixture(scope="module")
def class_images(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of the class, by other seeds than those that are looked at."""
    folder = tmp_path_factory.mktemp("class")
    for number, pixels in enumerate(pictures_of(ground, CLASS, range(100, 112))):
        Image.fromarray(pixels).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(CLASS, encoding="utf-8")
    return folder


def trained(ground: Ground, folder: Path, **values: Any) -> tuple[float, float]:
    """By how much pictures of the cat, and those of the class, came nearer to the cat's."""
    for _ in train(ground.config("lora", folder, **values), ground.model):
        pass
    wanted = [Wanted(load_network(folder / "network.safetensors"))]
    cats = nearest_distances(pictures_of(ground, CAT.caption, CONCEPT_SEEDS, wanted), ground.training)
    learnt = nearest_distances(ground.untrained[: len(CONCEPT_SEEDS)], ground.training) - cats
    untouched, moved = (
        nearest_distances(pictures_of(ground, CLASS, SEEDS, several), ground.training)
        for several in ((), wanted)
    )
    return float(learnt.mean()), float((untouched - moved).mean())


@pytest.fixture(scope="module")
def drawn_without(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> float:
    """By how much the class is drawn towards the cat without regularisation."""
    _, drawn = trained(ground, tmp_path_factory.mktemp("without"))
    assert drawn > 0.05
    return drawn


@pytest.mark.slow
def test_regularisation_images_keep_the_class(
    ground: Ground, class_images: Path, drawn_without: float, tmp_path: Path
) -> None:
    # an epoch shows one picture of the class for each of the cat
    learnt, drawn = trained(ground, tmp_path, reg_images=str(class_images), max_steps=90)
    assert learnt > 0.1
    assert drawn < drawn_without * 2 / 3, drawn_without


@pytest.mark.slow
def test_prior_prediction_keeps_the_class_without_images(
    ground: Ground, drawn_without: float, tmp_path: Path
) -> None:
    learnt, drawn = trained(ground, tmp_path, prior_prediction_weight=1.0, prior_caption=CLASS)
    assert learnt > 0.1
    assert drawn < drawn_without * 2 / 3, drawn_without
