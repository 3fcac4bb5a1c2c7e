"""What is asked of a run from outside, and what it does where it cannot write."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

from lib_lyco.train.config import TrainConfig
from lib_lyco.train.control import Control
from lib_lyco.train.events import Caching, Event, Failed, Finished, Paused, Resumed, Saved, Step
from lib_lyco.train.run import train
from tests.train.test_run import clock, equal, final_file, run
from tests.train.tiny import TinyModel

Make = Callable[..., TrainConfig]


def driven(config: TrainConfig, control: Control, at: int, act: Callable[[], None]) -> Iterator[Event]:
    """A run; does something once that step is done."""
    for event in train(config, TinyModel(), control, clock):
        yield event
        if isinstance(event, Step) and event.step == at:
            act()


def test_pause_halts_until_resumed_and_changes_nothing(make_config: Make) -> None:
    run(make_config(name="whole"))
    config, control = make_config(), Control()
    halted: list[float] = []

    def resume_later() -> None:
        time.sleep(0.5)
        halted.append(time.monotonic())
        control.resume()

    events: list[Event] = []
    for event in driven(config, control, 2, control.pause):
        if isinstance(event, Paused):
            threading.Thread(target=resume_later).start()
        if isinstance(event, Resumed):
            assert halted and time.monotonic() >= halted[0]
        events.append(event)
    kinds = [type(event) for event in events if not isinstance(event, Caching)]
    assert kinds[3:6] == [Paused, Resumed, Step]
    assert equal(load_file(final_file(config)), load_file(final_file(make_config(name="whole"))))


def test_stop_ends_a_paused_run_and_saves(make_config: Make) -> None:
    config, control = make_config(), Control()
    events: list[Event] = []
    for event in driven(config, control, 2, control.pause):
        events.append(event)
        if isinstance(event, Paused):
            control.stop()
    last = events[-1]
    assert isinstance(last, Finished) and last.stopped and last.step == 2
    assert last.path is not None and last.path.is_file()


def test_save_now_writes_what_a_run_of_that_length_would(make_config: Make) -> None:
    config, control = make_config(keep_states=9), Control()
    saved = [event for event in driven(config, control, 3, control.save) if isinstance(event, Saved)]
    assert [(event.step, event.reason) for event in saved] == [(3, "asked"), (5, "final")]
    assert (Path(config.output) / "network-step00000003.state").is_file()
    by_schedule = make_config(name="scheduled", save_every_n_steps=3)
    run(by_schedule)
    expected = Path(by_schedule.output) / "scheduled-step00000003.safetensors"
    assert equal(load_file(saved[0].path), load_file(expected))


def test_two_trainings_at_once_do_not_know_of_each_other(make_config: Make) -> None:
    settings: list[dict[str, Any]] = [
        {"name": "one", "algo": "dylora", "gradient_checkpointing": True},
        {"name": "two", "algo": "lokr", "factor": 4, "precision": "bf16", "seed": 8},
    ]
    configs = [make_config(te_learning_rate=0.0, max_steps=2, **values) for values in settings]
    alone: list[dict[str, Tensor]] = []
    for config in configs:
        run(config)
        alone.append(load_file(final_file(config)))
    # a step of the one, a step of the other
    list(zip_longest(*(train(config, TinyModel(), clock=clock) for config in configs)))
    for config, expected in zip(configs, alone, strict=True):
        assert equal(load_file(final_file(config)), expected)


class FullDisk:
    """No room on the disk for files of more than a few bytes, until there is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self._usage = shutil.disk_usage
        monkeypatch.setattr(shutil, "disk_usage", self)

    def __call__(self, path: Path) -> object:
        usage = self._usage(path)
        return usage._replace(free=10) if self.full else usage


def test_full_disk_pauses_and_the_run_goes_on_when_there_is_room(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(make_config(name="whole"))
    disk, control, config = FullDisk(monkeypatch), Control(), make_config(save_every_n_steps=2)
    events: list[Event] = []
    for event in train(config, TinyModel(), control, clock):
        events.append(event)
        if isinstance(event, Step) and event.step == 2:
            disk.full = True
        if isinstance(event, Paused):
            assert "no room" in event.reason and "10 bytes free" in event.remedy
            left = [
                path.name
                for path in Path(config.output).iterdir()
                if "network" in path.name and path.suffix != ".state"
            ]
            assert left == []
            disk.full = False
            control.resume()
    kinds = [type(event).__name__ for event in events if not isinstance(event, Caching)]
    assert kinds[1:6] == ["Step", "Step", "Paused", "Resumed", "Saved"]
    assert equal(load_file(final_file(config)), load_file(final_file(make_config(name="whole"))))


def test_full_disk_while_encoding_pauses(make_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, control = FullDisk(monkeypatch), Control()
    disk.full = True
    events: list[Event] = []
    for event in train(make_config(latent_cache="disk"), TinyModel(), control, clock):
        events.append(event)
        if isinstance(event, Paused):
            disk.full = False
            control.resume()
    kinds = [type(event).__name__ for event in events[:4]]
    assert kinds == ["Started", "Paused", "Resumed", "Caching"]
    assert isinstance(events[-1], Finished)


def test_stop_ends_a_run_that_cannot_write(make_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, control, events = FullDisk(monkeypatch), Control(), list[Event]()
    with pytest.raises(Exception, match="no room"):
        for event in train(make_config(save_every_n_steps=2), TinyModel(), control, clock):
            events.append(event)
            disk.full = True
            if isinstance(event, Paused):
                control.stop()
    assert isinstance(events[-1], Failed) and events[-1].saved is None


def test_folder_that_vanished_is_waited_for(make_config: Make, tmp_path: Path) -> None:
    config, control = make_config(save_every_n_steps=2), Control()
    place = Path(config.output)
    events: list[Event] = []
    for event in train(config, TinyModel(), control, clock):
        events.append(event)
        if isinstance(event, Step) and event.step == 1:
            shutil.rmtree(place)
            place.write_bytes(b"what a removed drive may leave: no folder can be made here")
        if isinstance(event, Paused):
            assert str(place) in event.reason
            place.unlink()
            control.resume()
    assert isinstance(events[-1], Finished)
    assert final_file(config).is_file()
