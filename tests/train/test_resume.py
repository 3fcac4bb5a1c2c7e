"""Resume: a run that was ended at any step goes on to the file that it would have made at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lib_lyco.errors import ConfigError, FileError, TrainingError
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.control import Control
from lib_lyco.train.events import Event, Failed, Saved, Started, Step
from lib_lyco.train.run import train
from lib_lyco.train.state import StateStore
from lib_lyco.train.tree import flattened, rebuilt
from tests.train.test_run import FailsAt, clock, equal, final_file, run
from tests.train.tiny import TinyModel

Make = Callable[..., TrainConfig]


def stopped_at(config: TrainConfig, step: int) -> list[Event]:
    """Runs and asks to stop after a step."""
    control, events = Control(), list[Event]()
    for event in train(config, TinyModel(), control, clock):
        events.append(event)
        if isinstance(event, Step) and event.step == step:
            control.stop()
    return events


def steps_of(events: list[Event]) -> list[Step]:
    return [event for event in events if isinstance(event, Step)]


def states(config: TrainConfig) -> list[str]:
    return sorted(path.name for path in Path(config.output).glob(f"{config.name}-*.state"))


@pytest.mark.parametrize(
    "values",
    [
        {"algo": "lora"},
        {"algo": "dylora", "scheduler": "constant"},
        {"algo": "lokr", "factor": 4, "dora": True},
        {"algo": "full", "flip": True, "batch_size": 2},
        {"accumulation": 2, "warmup_steps": 2, "min_snr_gamma": 5.0, "workers": 2},
    ],
    ids=str,
)
def test_resumed_run_makes_the_same_file_byte_for_byte(make_config: Make, values: dict[str, Any]) -> None:
    config = make_config(epochs=2, name="whole", **values)
    whole = run(config)
    broken = config.replaced(name="broken", resume="auto")
    # inside an epoch, and at the end of one or in the next, by the batches of the config
    events: list[Event] = []
    for step in (2, 5):
        events += stopped_at(broken, step)
    events += run(broken)
    assert equal(load_file(final_file(broken)), load_file(final_file(config)))
    numbers = [(step.step, step.epoch, step.loss, step.average_loss) for step in steps_of(events)]
    assert numbers == [(step.step, step.epoch, step.loss, step.average_loss) for step in steps_of(whole)]
    assert [event.step for event in events if isinstance(event, Started)] == sorted(
        {0, *(min(step, len(numbers)) for step in (2, 5))}
    )


def test_metadata_of_a_resumed_run_is_the_whole_runs(make_config: Make) -> None:
    config = make_config(name="same")
    run(config)
    whole = final_file(config).read_bytes()
    shutil.rmtree(config.output)
    stopped_at(config, 2)
    run(config.replaced(resume="auto"))
    assert final_file(config).read_bytes() == whole


@pytest.mark.parametrize("error", [SystemExit(3), None])
def test_failed_run_leaves_a_state_that_goes_on(make_config: Make, error: BaseException | None) -> None:
    config = make_config(name="whole")
    run(config)
    broken = config.replaced(name="broken", resume="auto")
    events: list[Event] = []
    with pytest.raises(type(error) if error else TrainingError):
        for event in train(broken, FailsAt(4, error), clock=clock):
            events.append(event)
    assert isinstance(events[-1], Failed) and events[-1].step == 3
    assert states(broken) == ["broken-step00000003.state"]
    assert [step.step for step in steps_of(run(broken))] == [4, 5]
    assert equal(load_file(final_file(broken)), load_file(final_file(config)))


def test_update_cut_short_leaves_no_state(make_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(save_every_n_steps=2)
    update, calls = torch.optim.AdamW.step, list[int]()

    def interrupted(self: Any, *args: Any) -> Any:
        result = update(self, *args)
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(torch.optim.AdamW, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(config)
    assert states(config) == ["network-step00000002.state"]


def test_numbered_files_are_never_overwritten(make_config: Make) -> None:
    config = make_config(save_every_n_steps=1, keep_states=9)
    run(config)
    folder = Path(config.output)
    first, second = (folder / f"network-step0000000{step}.safetensors" for step in (1, 2))
    second.write_bytes(b"somebody else's")
    resumed = config.replaced(resume=str(folder / "network-step00000001.state"))
    kept = first.stat().st_mtime_ns
    events = run(resumed)
    assert first.stat().st_mtime_ns == kept
    assert second.read_bytes() == b"somebody else's"
    saved = [event.path.name for event in events if isinstance(event, Saved)]
    assert saved[:3] == [
        "network-step00000001.safetensors",
        "network-step00000002-2.safetensors",
        "network-step00000003.safetensors",
    ]


def test_file_that_the_kill_prevented_is_written_on_resume(make_config: Make) -> None:
    config = make_config(epochs=2, save_every_n_epochs=1, save_every_n_steps=5, keep_states=9)
    run(config)
    lost = Path(config.output) / "network-000001.safetensors"
    whole = load_file(lost)
    lost.unlink()
    run(config.replaced(resume=str(Path(config.output) / "network-step00000005.state")))
    assert equal(load_file(lost), whole)


def test_newest_states_are_kept_whatever_their_step(make_config: Make) -> None:
    config = make_config(save_every_n_steps=1, keep_states=2)
    run(config)
    assert states(config) == ["network-step00000004.state", "network-step00000005.state"]
    run(config.replaced(name="network2", keep_states=0))
    assert len(states(config)) == 2
    anew = config.replaced(seed=8)
    stopped_at(anew, 1)
    assert states(config) == ["network-step00000001.state", "network-step00000005.state"]
    started = run(anew.replaced(resume="auto"))[0]
    assert isinstance(started, Started) and started.step == 1


def test_state_of_another_run_is_refused_with_the_difference(make_config: Make, photographs: Path) -> None:
    config = make_config()
    stopped_at(config, 2)
    again = config.replaced(resume="auto")
    with pytest.raises(ConfigError, match="differs in: rank, alpha") as caught:
        run(again.replaced(rank=8, alpha=4.0))
    assert (caught.value.got, caught.value.expected) == ("rank 4; alpha 2.0", "rank 8; alpha 4.0")
    with pytest.raises(ConfigError, match="total steps"):
        run(again.replaced(epochs=2))
    with pytest.raises(ConfigError, match="base model"):
        run(again, TinyModel("v"))
    (photographs / "2_chelsea cat" / "chelsea.txt").write_text("a dog", encoding="utf-8")
    with pytest.raises(ConfigError, match="images"):
        run(again)


def test_merged_networks_are_known_by_content(make_config: Make, tmp_path: Path) -> None:
    """They may move; another network in their place is another run."""
    one, two = (make_config(name=name, seed=seed) for name, seed in (("one", 1), ("two", 2)))
    run(one)
    run(two)
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    shutil.copy(final_file(one), first)
    shutil.copy(final_file(two), second)
    config = make_config(resume="auto", base_weights=(str(first),))
    stopped_at(config, 2)
    with pytest.raises(ConfigError, match="merged networks"):
        run(config.replaced(base_weights=(str(second),)))
    with pytest.raises(ConfigError, match="merged networks"):
        run(config.replaced(base_weights=()))
    shutil.copy(first, second)
    first.unlink()
    assert steps_of(run(config.replaced(base_weights=(str(second),))))[0].step == 3


def test_longer_run_at_a_constant_rate_goes_on_from_a_finished_one(make_config: Make) -> None:
    config = make_config(scheduler="constant")
    run(config)
    longer = config.replaced(epochs=2, resume="auto", gradient_checkpointing=True, comment="more")
    assert [step.step for step in steps_of(run(longer))] == [6, 7, 8, 9, 10]
    at_once = config.replaced(epochs=2, name="at once")
    run(at_once)
    assert equal(load_file(final_file(longer)), load_file(final_file(at_once)))


def test_what_to_resume_from_must_be_there_and_be_a_state(make_config: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no state to go on from"):
        run(make_config(resume=str(tmp_path)))
    config = make_config()
    run(config)
    with pytest.raises(ConfigError, match="no state of a run"):
        run(config.replaced(resume=str(final_file(config))))
    damaged = Path(config.output) / states(config)[0]
    damaged.write_bytes(damaged.read_bytes()[:-8])
    with pytest.raises(FileError):
        run(config.replaced(resume=str(damaged)))


def test_leftovers_of_this_name_only_are_removed(tmp_path: Path) -> None:
    ours = [
        ".net-step00000004.state.0123abcd.tmp",
        "..net-000001.unchecked.safetensors.0123abcd.tmp",
        ".net.unchecked.safetensors",
    ]
    others = [".net2-step00000004.state.0123abcd.tmp", ".net.txt", "net.safetensors"]
    for name in ours + others:
        (tmp_path / name).touch()
    StateStore(tmp_path, "net", 1, {}).remove_leftovers()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


def test_tree_survives_with_every_type_and_bit() -> None:
    tree = {
        0: (0.1, 1e-45, float("inf")),
        "a": [None, True, {"b": torch.tensor([0.1, float("nan")])}],
        "": {},
        "t": torch.tensor(3.0),
    }
    text, tensors = flattened(tree, "x/")
    back = rebuilt(text, tensors)
    assert str(back) == str(tree)
    assert list(map(type, back)) == list(map(type, tree))
    assert set(tensors) == {"x/0", "x/1"}
    with pytest.raises(TypeError, match="set"):
        flattened({"a": {1}}, "")
