"""Runs on the tiny model."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from lib_lyco.studio.runs import Runs
from tests.studio.places import Gate, TinyProvider
from tests.train.conftest import make_config, photographs

__all__ = ["make_config", "photographs"]


@pytest.fixture
def provider() -> TinyProvider:
    return TinyProvider()


@pytest.fixture
def runs(tmp_path: Path, provider: TinyProvider) -> Generator[Runs]:
    """Runs of a data folder that somebody works on."""
    runs = Runs(tmp_path / "runs", provider, tmp_path / "output")
    runs.start()
    yield runs
    provider.before_turn = lambda: None
    runs.close()


@pytest.fixture
def gate(runs: Runs, provider: TinyProvider) -> Gate:
    return Gate(runs, provider)
