"""Whole runs with optimisers that keep more than AdamW: saving disturbs nothing, resume is exact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from lib_lyco.train.config import TrainConfig
from tests.train.test_run import equal, final_file, load_trained, run

Make = Callable[..., TrainConfig]


def test_schedule_free_run_saves_its_average_and_saving_disturbs_nothing(make_config: Make) -> None:
    pytest.importorskip("schedulefree")
    config = make_config(optimizer_type="AdamWScheduleFree", scheduler="constant", name="plain")
    plain = load_trained(config)
    often = load_trained(config.replaced(name="often", save_every_n_steps=1, validation_split=0.4))
    seldom = load_trained(config.replaced(name="seldom", validation_split=0.4))
    assert equal(often, seldom)
    state = load_file(next(Path(config.output).glob("plain-step*.state")))
    trained_on = {key: value for key, value in state.items() if key.startswith("network/")}
    ups = {key: value for key, value in plain.items() if "lora_up" in key and value.any()}
    assert ups
    # what is trained on (y) is not the average (x) that is saved
    same = [any(one.equal(value) for one in trained_on.values()) for value in ups.values()]
    assert sum(same) < len(same) / 10, (sum(same), len(same))


@pytest.mark.parametrize(
    ("package", "values"),
    [
        (
            "schedulefree",
            {"optimizer_type": "AdamWScheduleFree", "scheduler": "constant_with_warmup", "warmup_steps": 2},
        ),
        ("prodigyopt", {"optimizer_type": "Prodigy", "learning_rate": 1.0, "scheduler": "rex"}),
        ("transformers", {"optimizer_type": "AdaFactor", "scheduler": "adafactor"}),
    ],
)
def test_resumed_run_makes_the_same_file(make_config: Make, package: str, values: dict[str, Any]) -> None:
    pytest.importorskip(package)
    config = make_config(name="whole", save_every_n_steps=2, save_state=True, **values)
    whole = load_trained(config)
    folder = Path(config.output)
    run(config.replaced(name="again"))
    for path in folder.glob("again-step0000000[45].state"):
        path.unlink()
    again = config.replaced(name="again", resume=str(folder / "again-step00000002.state"))
    final_file(again).unlink()
    run(again)
    assert equal(load_file(final_file(again)), whole)
