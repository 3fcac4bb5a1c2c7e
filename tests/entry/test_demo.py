"""`lyco demo`: the bar, the table and the model's export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lib_lyco.demo.embedded import checkpoint
from lib_lyco.demo.experiment import Outcome, State
from lib_lyco.demo.page import Result
from lib_lyco.demo.run import Advanced, Demo, PageWritten
from lib_lyco.entry import command_demo
from lib_lyco.entry.cli import main


def outcome(algo: str) -> Outcome:
    return Outcome(
        algo=algo,
        network=Path("n.safetensors"),
        file_bytes=2048,
        layers="",
        train_seconds=1.25,
        seconds=2.5,
        num_steps=3,
        final_loss=0.5,
        states=(State("base model", 0.6, 0, 0), State("strength 1", 0.3, 9, 1)),
        restored=True,
        toml="",
    )


def test_results_become_one_table_and_the_page_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pretend(demo: Demo) -> Iterator[Advanced | Result | PageWritten]:
        asked.append(demo)
        for number, algo in enumerate(demo.algos, start=1):
            yield Advanced(number / len(demo.algos), f"{algo}: train")
            yield Result(outcome(algo), 3 << 20)
        yield PageWritten(demo.folder / "index.html")

    asked: list[Demo] = []
    monkeypatch.setattr(command_demo, "run_demo", pretend)
    arguments = ["--algo", "lokr", "--algo", "boft", "--algo", "lokr", "--epochs", "2"]
    assert main(["demo", *arguments, "--folder", str(tmp_path)]) == 0
    (demo,) = asked
    assert demo.algos == ("lokr", "boft") and demo.length.epochs == 2
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[1].split()[0] == "algo"
    assert lines[3].split() == ["lokr", "2", "1.2", "2.5", "3", "0.5000", "0.600", "0.300"]
    assert lines[4].split()[0] == "boft" and str(tmp_path / "index.html") in lines[-1]
    assert "100%" in err and "boft: train" in err


def test_export_writes_the_model_that_came_along(tmp_path: Path) -> None:
    assert main(["demo", "--export", str(tmp_path)]) == 0
    (exported,) = tmp_path.glob("*.safetensors")
    assert exported.read_bytes() == checkpoint().read_bytes()
