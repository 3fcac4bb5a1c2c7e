"""Training finds in the WebUI's own model what the command line's provider makes of its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.host.driver import Host
from tests.host.small_models import write_small
from tests.host.training import Trainer

BASES = ["lyco-embedded", "small-sd2", "small-sdxl"]
ROUNDING = 2e-5
"""Of float32, through all layers, relative to the largest value."""

HALF_ROUNDING = 2e-2
"""Of bfloat16."""
FORETOLD_WEIGHTS, FORETOLD = 0.01, 0.25
"""How far what is foretold may be from that of another implementation: weights, and activations."""
GRADIENT_ROUNDING = 1e-3
"""Of each tensor of gradients, which are sums of much larger terms."""


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


@pytest.mark.parametrize(("checkpointing", "precision"), [(False, "fp32"), (True, "bf16")])
def test_the_memory_foretold_is_that_of_the_command_line(
    base: Host, tmp_path: Path, checkpointing: bool, precision: str
) -> None:
    images = Trainer(base, tmp_path).images
    ours, theirs = base.ask(
        "forecasts", images=str(images), checkpointing=checkpointing, precision=precision
    )
    assert ours["remarks"] == theirs["remarks"]
    for part in ("weights", "adapters", "optimiser"):
        assert ours[part] == pytest.approx(theirs[part], rel=FORETOLD_WEIGHTS), part
    assert ours["activations"] == pytest.approx(theirs["activations"], rel=FORETOLD), (ours, theirs)


def test_every_preset_chooses_the_same_layers_as_on_the_command_line(base: Host) -> None:
    found = base.ask("choices")
    assert len(found) > 5 and min(found.values()) > 0, found


@pytest.mark.parametrize(("algo", "checkpointing"), [("locon", False), ("lokr", True)])
def test_loss_and_gradients_are_those_of_the_command_line(
    base: Host, algo: str, checkpointing: bool
) -> None:
    found = base.ask("learning", algo=algo, checkpointing=checkpointing)
    assert found["same layers"] and found["layers"] and found["text layers"]
    assert found["loss"] < ROUNDING
    assert found["worst"][1] < GRADIENT_ROUNDING, found
    assert found["intact"]


@pytest.mark.parametrize("base", BASES[:2], indirect=True)
def test_weights_in_half_precision_are_trained_on_as_the_command_line_does(base: Host) -> None:
    found = base.ask("half_precision")
    assert found["loss"] < HALF_ROUNDING
    assert found["gradients"] > 1 - HALF_ROUNDING, found
    assert found["dtypes"] == ["torch.float32"]
    assert found["latents"][0] == "torch.float32" and found["latents"][1] < HALF_ROUNDING
    assert found["intact"]


def test_the_loaded_checkpoint_comes_first_and_any_of_the_list_can_be_trained_on(webui: Host) -> None:
    write_small(webui.checkpoints, "sd2")
    webui.request("POST", "/sdapi/v1/refresh-checkpoints")
    found = webui.ask("trained_bases")
    assert (found["names"][0], found["family"]) == ("", "sd1")
    assert found["loaded"].startswith("lyco-embedded")
    (other,) = (name for name in found["names"] if Path(name).stem == "small-sd2")
    opened = webui.ask("opened", name=other)
    assert (opened["kind"], opened["family"]) == ("HostTrainingModel", "sd2")
    assert opened["within"][0].startswith("small-sd2")
    assert opened["after"] == opened["before"]
    own = webui.ask("opened", name="")
    assert own["before"] == own["after"] and own["within"][:3] == own["before"][:3]


def test_a_checkpoint_that_is_not_there_is_refused(webui: Host) -> None:
    opened = webui.ask("opened", name="nowhere.safetensors")
    assert "no such checkpoint" in opened["refused"]
    assert opened["after"] == opened["before"]


def test_what_stands_in_the_way_is_a_sentence_with_what_to_do(webui: Host) -> None:
    found = webui.ask("obstacles")
    assert found.pop("nothing") == ""
    assert "--medvram" in found["lowvram"]
    assert "FP8" in found["fp8"]
    assert "SD Unet" in found["current_unet"]
    assert "velocity" in found["parameterization"]
