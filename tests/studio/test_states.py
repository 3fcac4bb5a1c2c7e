"""A finished run leaves no resume state among the networks; how fast it was is known all the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lib_lyco.studio.outlook import look_ahead
from lib_lyco.studio.runs import Runs
from lib_lyco.studio.states import PACE
from lib_lyco.studio.workplace import Base
from lib_lyco.train.config import TrainConfig
from tests.studio.places import Gate, wait_for

Make = Callable[..., TrainConfig]


def states(config: TrainConfig) -> list[str]:
    return sorted(path.name for path in Path(config.output).glob("*.state"))


def test_a_whole_run_leaves_none_and_tells_its_pace(runs: Runs, make_config: Make, tmp_path: Path) -> None:
    config = make_config(name="whole", precision="fp32")
    older = Path(config.output) / "whole-step00000001.state"
    older.parent.mkdir(parents=True)
    older.write_bytes(b"of another run of that name")
    os.utime(older, (1e9, 1e9))
    wait_for(runs, runs.submit(config).id, "finished")
    assert states(config) == [older.name]
    base = Base("", "tiny", "sd1", None)
    plain = look_ahead(config, base, torch.device("cpu"))
    told = look_ahead(config, base, torch.device("cpu"), tmp_path / PACE)
    assert plain.seconds is None and told.seconds is not None and told.seconds > 0
    assert [path.name for path in (tmp_path / PACE).iterdir()] == ["whole.state"]


@pytest.mark.parametrize(
    "asked", [{"save_state": True}, {"save_state_on_train_end": True}, {"keep_states": 2}]
)
def test_states_that_the_user_asked_for_stay(
    runs: Runs, make_config: Make, asked: dict[str, object]
) -> None:
    config = make_config(name="kept", **asked)
    wait_for(runs, runs.submit(config).id, "finished")
    assert "kept-step00000005.state" in states(config)


def test_a_stopped_run_can_go_on_from_its_state(runs: Runs, make_config: Make, gate: Gate) -> None:
    gate.at(2)
    config = make_config(name="stopped")
    id = runs.submit(config).id
    wait_for(runs, id, "training", step=2)
    runs.act(id, "stop")
    gate.open()
    assert wait_for(runs, id, "stopped").step < 5
    assert len(states(config)) == 1
