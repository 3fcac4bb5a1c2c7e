"""The published SD1.5 without its weights."""

from __future__ import annotations

from pathlib import Path

from lib_lyco.demo.madeup import FULL, Known
from lib_lyco.models.checkpoint import Checkpoint, Survey
from lib_lyco.models.diffusers_model import DiffusersModel
from lib_lyco.models.hollow import hollow_model
from lib_lyco.models.settings import Clues, read_settings
from lib_lyco.models.sources import part_sources


def full_model(family: Known = "sd1") -> DiffusersModel:
    """The published model's layers."""
    path, plan = Path("full.safetensors"), FULL[family]
    settings = read_settings(plan, Clues(path, {}, {}))
    return hollow_model(Checkpoint(Survey(path, {}, {}, {}, None), plan, settings, part_sources(plan)))
