"""Runs on disk: whole or not at all, damaged files do no harm, one owner at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lib_lyco.errors import ConfigError
from lib_lyco.studio.history import read_history, read_messages
from lib_lyco.studio.ownership import Ownership
from lib_lyco.studio.store import Store
from lib_lyco.train.config import TrainConfig
from tests.architecture import ROOT

Make = Callable[..., TrainConfig]


def test_what_is_kept_is_read_by_another_program(make_config: Make, tmp_path: Path) -> None:
    config = make_config(name="猫", block_dims=(1, 2), resolution=(64, 96))
    record = Store(tmp_path).create(config, "train", "base")
    kept = replace(record, state="paused", loss=0.5, plan={"images": 3}, result={"a": [1]})
    Store(tmp_path).write(kept)
    other = Store(tmp_path)
    assert other.record(record.id) == kept and other.records() == [kept]
    assert other.config(record.id) == config


def test_damaged_files_leave_the_others_alone(make_config: Make, tmp_path: Path) -> None:
    store = Store(tmp_path)
    ids = [store.create(make_config(), "train", "").id for _ in range(4)]
    (tmp_path / ids[0] / "run.json").write_text('{"id": "', encoding="utf-8")
    (tmp_path / ids[1] / "run.json").write_text('{"id": 3, "state": "dancing"}', encoding="utf-8")
    (tmp_path / ids[2] / "run.json").unlink()
    (tmp_path / "queue.json").write_text("[", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    found = {record.id: record for record in Store(tmp_path).records()}
    assert sorted(found) == sorted(ids)
    assert [found[id].state for id in ids] == ["failed", "failed", "failed", "queued"]
    assert all("cannot be read" in found[id].message for id in ids[:3])
    assert Store(tmp_path).order() == [ids[3]]


def test_order_names_some_and_the_rest_is_behind_by_age(make_config: Make, tmp_path: Path) -> None:
    moments = iter(range(100))
    store = Store(tmp_path, lambda: float(next(moments)))
    ids = [store.create(make_config(), "train", "").id for _ in range(4)]
    assert store.order() == ids
    store.set_order([ids[3], "unknown", ids[1]])
    assert Store(tmp_path).order() == [ids[3], ids[1], ids[0], ids[2]]


@pytest.mark.parametrize(
    "id", ["", "..", "../x", "20260101-000000-abcdef/..", "/etc", "20260101-000000-abcdef"]
)
def test_only_ids_of_runs_lead_to_folders(id: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such run"):
        Store(tmp_path / "runs").place(id)


def test_lines_that_a_kill_cut_off_are_left_out(tmp_path: Path) -> None:
    step = {"step": 1, "epoch": 1, "loss": 0.5, "average_loss": 0.5, "learning_rates": {"unet": 1e-3}}
    (tmp_path / "events.jsonl").write_text(json.dumps(step) + '\n[]\n{"step": 2, "lo', encoding="utf-8")
    (tmp_path / "messages.jsonl").write_text(
        '{"time": 1, "kind": "info", "text": "a"}\n{"te', encoding="utf-8"
    )
    assert read_history(tmp_path).losses == [0.5]
    assert [line["text"] for line in read_messages(tmp_path, 9)] == ["a"]


def test_curves_are_thinned_and_keep_their_last_point(tmp_path: Path) -> None:
    lines = [
        {
            "step": step,
            "epoch": 1,
            "loss": step / 2,
            "average_loss": float("nan"),
            "learning_rates": {"te": 1.0},
        }
        for step in range(1, 5001)
    ]
    lines.append({"step": 5000, "epoch": 1, "validation_loss": 0.25})
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    history = read_history(tmp_path)
    whole = history.curves(0)
    assert 1000 < len(whole["steps"]) <= 2000 and whole["steps"][-1] == 5000
    assert whole["losses"] == [step / 2 for step in whole["steps"]]
    assert set(whole["averages"]) == {None} and whole["validation"] == [[5000, 0.25]]
    assert history.curves(4990)["steps"] == list(range(4991, 5001))
    assert history.curves(5000)["steps"] == [] and history.curves(5000)["validation"] == []


def test_steps_that_are_made_again_are_told_once(tmp_path: Path) -> None:
    def step(number: int, loss: float) -> dict[str, object]:
        return {"step": number, "loss": loss, "average_loss": loss, "learning_rates": {}}

    lines = [step(1, 1.0), step(2, 2.0), {"event": "recovered", "step": 3, "back_to": 1}, step(2, 4.0)]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    history = read_history(tmp_path)
    assert (history.steps, history.losses) == ([1, 2], [1.0, 4.0])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_folder_of_a_killed_program_is_free_at_once(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from lib_lyco.studio.ownership import Ownership\n"
        "print(Ownership(Path(sys.argv[1])).take(), flush=True); time.sleep(600)"
    ).replace("Ownership(Path(sys.argv[1])).take()", "(own := Ownership(Path(sys.argv[1]))).take()")
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline().strip() == b"True"
        mine = Ownership(tmp_path)
        assert not mine.take() and mine.owner() == str(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert mine.take() and mine.owner() == str(os.getpid())
    mine.give()
