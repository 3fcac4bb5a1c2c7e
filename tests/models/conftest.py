"""Made-up base models that several tests read; each is written once."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lib_lyco.demo.madeup import Known, write_checkpoint

if TYPE_CHECKING:
    from lib_lyco.models.diffusers_model import DiffusersModel

# the host has no diffusers: there the host itself provides the base model
collect_ignore_glob = ["test_*.py"] if find_spec("diffusers") is None else []

FAMILIES: tuple[Known, ...] = ("sd1", "sd2", "sdxl")


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One made-up base model of each family."""
    folder = tmp_path_factory.mktemp("models")
    return {family: write_checkpoint(folder / f"{family}.safetensors", family) for family in FAMILIES}


@pytest.fixture(scope="session")
def models(model_files: dict[str, Path]) -> dict[str, DiffusersModel]:
    """The same, loaded in float32."""
    load_model = pytest.importorskip("lib_lyco.models.load").load_model
    return {family: load_model(path) for family, path in model_files.items()}
