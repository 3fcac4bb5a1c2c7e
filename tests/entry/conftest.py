"""A made-up base model for the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_lyco.demo.madeup import write_checkpoint


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SD1 with 32 channels at the top."""
    return write_checkpoint(tmp_path_factory.mktemp("model") / "small.safetensors", "sd1", 32)
