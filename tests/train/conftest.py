"""Fixtures: the tiny base model, folders of real photographs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import skimage
from PIL import Image

from lib_lyco.train.config import TrainConfig
from tests.train.tiny import TinyModel, tiny_config

PHOTOGRAPHS = Path(skimage.__file__).parent / "data"


@pytest.fixture
def diffusers_training() -> ModuleType:
    """diffusers' own utilities for training; under the WebUI's old transformers they cannot be imported."""
    try:
        return importlib.import_module("diffusers.training_utils")
    except AttributeError as error:
        pytest.skip(f"diffusers' training_utils need a newer transformers: {error}")


@pytest.fixture
def tiny() -> TinyModel:
    return TinyModel()


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A parent folder: two cats (one captioned) twice, one wide picture once; small copies."""
    root = tmp_path / "photographs"
    for folder, name, box in (
        ("2_chelsea cat", "chelsea.png", (60, 0, 360, 300)),
        ("2_chelsea cat", "astronaut.png", None),
        ("1_object", "coffee.png", None),
    ):
        place = root / folder
        place.mkdir(parents=True, exist_ok=True)
        with Image.open(PHOTOGRAPHS / name) as photograph:
            cut = photograph.convert("RGB").crop(box or (0, 0, *photograph.size))
            cut.thumbnail((96, 96))
            cut.save(place / name)
    (root / "2_chelsea cat" / "chelsea.txt").write_text("a cat, whiskers", encoding="utf-8")
    return root


@pytest.fixture
def make_config(photographs: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """A config for the tiny model on the photographs; 5 batches per epoch, one epoch."""

    def make(**values: object) -> TrainConfig:
        return tiny_config(photographs, tmp_path / "output", **{"overwrite": True, **values})

    return make
