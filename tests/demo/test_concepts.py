"""The training folder of the demo: real photographs, as a trainer expects them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_lyco.demo.concepts import CONCEPTS, write_training_folder
from lib_lyco.demo.photographs import HELD_OUT, photograph_path
from lib_lyco.train.data.folder import scan_folder
from lib_lyco.train.options.subset import SubsetOptions


def test_trainer_finds_every_picture_with_its_caption(tmp_path: Path) -> None:
    written = write_training_folder(tmp_path)
    scan = scan_folder(tmp_path, SubsetOptions(repeats=1))
    assert [record.path for record in scan.records] == sorted(written)
    captions = {concept.name: concept.caption for concept in CONCEPTS}
    assert all(record.caption == captions[record.path.stem.split("_")[0]] for record in scan.records)


def test_embedded_model_has_not_seen_the_photographs() -> None:
    assert {concept.photograph for concept in CONCEPTS} <= set(HELD_OUT)


@pytest.mark.parametrize("concept", CONCEPTS, ids=lambda concept: concept.name)
def test_crops_are_different_squares_inside_the_photograph(concept: object) -> None:
    assert concept in CONCEPTS
    found = next(one for one in CONCEPTS if one is concept)
    with Image.open(photograph_path(found.photograph)) as photograph:
        width, height = photograph.size
    assert len(set(found.crops)) == len(found.crops)
    assert all(
        left >= 0 <= top and left + side <= width and top + side <= height
        for left, top, side in found.crops
    )


def test_written_picture_is_the_crop(tmp_path: Path) -> None:
    concept = CONCEPTS[0]
    left, top, side = concept.crops[0]
    written = write_training_folder(tmp_path, [concept], size=side)
    with Image.open(photograph_path(concept.photograph)) as photograph, Image.open(written[0]) as picture:
        expected = np.asarray(photograph.convert("RGB"))[top : top + side, left : left + side]
        assert np.array_equal(np.asarray(picture), expected)
