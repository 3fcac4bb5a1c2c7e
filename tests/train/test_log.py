"""Logs: our own lines always, one history however often a run is resumed; TensorBoard and wandb."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lib_lyco.errors import ConfigError, MissingPackageError
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.events import Recovered, Step
from lib_lyco.train.log import JsonLines
from tests.train.test_resume import stopped_at
from tests.train.test_run import run

Make = Callable[..., TrainConfig]
MOMENT = "20231114221320"  # 1,700,000,000 s after 1970, in UTC


def rows(config: TrainConfig) -> list[dict[str, Any]]:
    path = Path(config.output) / "logs" / f"network-{MOMENT}" / "steps.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def steps(found: list[dict[str, Any]]) -> list[tuple[int, float]]:
    return [(row["step"], row["loss"]) for row in found if "learning_rates" in row]


def test_every_step_stands_in_the_log(make_config: Make) -> None:
    config = make_config(save_every_n_steps=2)
    events = run(config)
    found = rows(config)
    assert steps(found) == [(event.step, event.loss) for event in events if isinstance(event, Step)]
    told = [row["event"] for row in found if "event" in row]
    assert told == ["saved", "saved", "saved", "finished"]
    assert found[0]["learning_rates"].keys() == {"unet", "te1"}


def test_resumed_run_goes_on_in_the_same_log(make_config: Make) -> None:
    config = make_config(resume="auto", save_every_n_steps=2)
    whole = steps_of_whole(make_config)
    stopped_at(config, 2)
    stopped_at(config, 3)
    path = next(Path(config.output).glob("logs/*/steps.jsonl"))
    # as a kill leaves it: steps after the last state, and half a line
    path.write_text(
        path.read_text(encoding="utf-8") + '{"step": 4, "learning_rates": {}, "loss": 9}\n{"step": 5, "lo',
        encoding="utf-8",
    )
    run(config)
    assert steps(rows(config)) == whole


def steps_of_whole(make_config: Make) -> list[tuple[int, float]]:
    events = run(make_config(name="whole"))
    return [(event.step, event.loss) for event in events if isinstance(event, Step)]


def test_log_goes_back_with_the_run(tmp_path: Path) -> None:
    def step(number: int, loss: float) -> Step:
        return Step(number, 4, 1, loss, loss, {"unet": 1e-4}, 1.0, 1.0)

    log = JsonLines(tmp_path / "steps.jsonl", first_step=0)
    back = Recovered(4, "out of memory", (), 1, "gradient checkpointing")
    for event in (*(step(number, 1.0) for number in (1, 2, 3)), back, back, step(2, 2.0), step(3, 2.0)):
        log.add(event)
    lines = (tmp_path / "steps.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    assert steps(found) == [(1, 1.0), (2, 2.0), (3, 2.0)]
    assert [row["step"] for row in found if row.get("event") == "recovered"] == [4, 4]


def test_folder_of_logs_may_be_chosen(make_config: Make, tmp_path: Path) -> None:
    config = make_config(logging_dir=str(tmp_path / "elsewhere"), log_prefix="x_")
    run(config)
    assert (tmp_path / "elsewhere" / f"x_{MOMENT}" / "steps.jsonl").is_file()
    assert not (Path(config.output) / "logs").exists()


def test_tensorboard_gets_the_numbers(make_config: Make) -> None:
    accumulator: Any = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config = make_config(log_with="tensorboard")
    events = [event for event in run(config) if isinstance(event, Step)]
    found = accumulator.EventAccumulator(str(Path(config.output) / "logs" / f"network-{MOMENT}"))
    found.Reload()
    logged = [(one.step, one.value) for one in found.Scalars("loss/current")]
    assert logged == [(event.step, pytest.approx(event.loss)) for event in events]
    assert {"loss/average", "lr/unet", "lr/te1"} <= set(found.Tags()["scalars"])


def test_package_that_is_missing_is_told(make_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingPackageError, match="pip install wandb"):
        run(make_config(log_with="wandb"))


class FakeWandb:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.settings: dict[str, Any] = {}
        self.told: list[tuple[int, dict[str, float]]] = []
        self.finished = False

    def login(self, key: str) -> None:
        self.keys.append(key)

    def init(self, **settings: Any) -> Any:
        self.settings = settings
        return SimpleNamespace(log=self.log, finish=self.finish)

    def log(self, figures: dict[str, float], step: int) -> None:
        self.told.append((step, figures))

    def finish(self) -> None:
        self.finished = True


def test_wandb_gets_the_numbers_and_its_key_from_a_file(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    (tmp_path / "key").write_text("secret\n", encoding="utf-8")
    (tmp_path / "tracker.toml").write_text('[wandb]\nentity = "me"\n', encoding="utf-8")
    config = make_config(
        log_with="wandb",
        wandb_key_file=str(tmp_path / "key"),
        log_tracker_config=str(tmp_path / "tracker.toml"),
        log_tracker_name="cats",
        wandb_run_name="third",
    )
    events = [event for event in run(config) if isinstance(event, Step)]
    assert fake.keys == ["secret"] and fake.finished
    told = {name: fake.settings[name] for name in ("project", "name", "entity")}
    assert told == {"project": "cats", "name": "third", "entity": "me"}
    assert [(step, figures["loss/current"]) for step, figures in fake.told] == [
        (event.step, event.loss) for event in events
    ]
    with pytest.raises(ConfigError, match="wandb_key_file"):
        run(config.replaced(wandb_key_file=str(tmp_path / "gone")))
