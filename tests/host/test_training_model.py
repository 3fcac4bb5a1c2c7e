"""Training finds in the WebUI's own model what the command line's provider makes of its file."""

from __future__ import annotations

import pytest

from tests.host.driver import Host
from tests.host.small_models import write_small

BASES = ["lyco-embedded", "small-sd2", "small-sdxl"]
ROUNDING = 2e-5
"""Of float32, through all layers, relative to the largest value."""


@pytest.fixture(params=BASES)
def base(request: pytest.FixtureRequest, webui: Host) -> Host:
    """The real WebUI with one of the base models."""
    name: str = request.param
    if name != "lyco-embedded":
        write_small(webui.checkpoints, "sd2" if name == "small-sd2" else "sdxl")
    webui.use(name)
    return webui


def test_conds_latents_and_predictions_are_those_of_the_command_line(base: Host) -> None:
    found = base.ask("forward_passes")
    assert found.pop("same kind") == 1
    assert not {name: value for name, value in found.items() if not value < ROUNDING}, found
