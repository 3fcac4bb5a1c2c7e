"""Made-up base models that several tests read; each is written once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("diffusers")

from lib_lyco.demo.madeup import write_checkpoint
from lib_lyco.models.load import load_model

if TYPE_CHECKING:
    from lib_lyco.models.diffusers_model import DiffusersModel

FAMILIES = ("sd1", "sd2", "sdxl")


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One made-up base model of each family."""
    folder = tmp_path_factory.mktemp("models")
    return {family: write_checkpoint(folder / f"{family}.safetensors", family) for family in FAMILIES}


@pytest.fixture(scope="session")
def models(model_files: dict[str, Path]) -> dict[str, DiffusersModel]:
    """The same, loaded in float32."""
    return {family: load_model(path) for family, path in model_files.items()}
