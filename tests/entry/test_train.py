"""`lyco train`: options from file and flags, what is shown, and Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib_lyco.demo.concepts import CAT, write_training_folder
from lib_lyco.entry import command_train
from lib_lyco.entry.cli import main
from lib_lyco.entry.command_train import show, stopping_on_interrupt
from lib_lyco.files.header import read_header
from lib_lyco.train.control import Control
from lib_lyco.train.events import Caching, Event, Failed, Finished, Saved, Step
from lib_lyco.train.launch import Place


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_training_folder(folder, [CAT], size=64)
    return folder


def write_config(folder: Path, images: Path, model: Path) -> Path:
    config = folder / "cat.toml"
    lines = {
        "base_model": model.as_posix(),
        "images": images.as_posix(),
        "output": (folder / "out").as_posix(),
        "name": "cat",
    }
    text = "\n".join(f'{name} = "{value}"' for name, value in lines.items())
    config.write_text(f"{text}\nresolution = 64\nbuckets = false\nmax_steps = 2\n", encoding="utf-8")
    return config


def test_flags_override_the_file_and_a_network_is_left(
    tmp_path: Path, images: Path, small_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, images, small_model)
    assert main(["train", str(config), "--name", "other", "--rank", "3", "--max-steps", "1"]) == 0
    metadata = read_header(tmp_path / "out" / "other.safetensors").metadata
    assert (metadata["ss_network_dim"], metadata["ss_steps"]) == ("3", "1")
    out = capsys.readouterr().out
    assert (
        "1 steps" in out and f"saved {tmp_path / 'out' / 'other.safetensors'}" in out and "finished" in out
    )


def test_mistake_in_the_file_is_told_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "bad.toml"
    config.write_text("rnak = 4\n", encoding="utf-8")
    assert main(["train", str(config)]) == 2
    err = capsys.readouterr().err
    assert "rnak" in err and "bad.toml" in err and "did you mean rank?" in err


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What a terminal gives: a shell's background jobs begin with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_first_interrupt_asks_to_stop_and_the_second_interrupts(capsys: pytest.CaptureFixture[str]) -> None:
    control, before = Control(), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stopping_on_interrupt(control):
        assert not control.stop_requested
        signal.raise_signal(signal.SIGINT)
        assert control.stop_requested
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert "is saved" in capsys.readouterr().err


@pytest.mark.usefixtures("interruptible")
def test_interrupt_that_a_launcher_hands_on_counts_once(capsys: pytest.CaptureFixture[str]) -> None:
    control, seconds = Control(), 0.0
    with pytest.raises(KeyboardInterrupt), stopping_on_interrupt(control, Place(1, 2), lambda: seconds):
        signal.raise_signal(signal.SIGINT)
        seconds = 1.0
        signal.raise_signal(signal.SIGINT)
        assert control.stop_requested
        seconds = 10.0
        signal.raise_signal(signal.SIGINT)
    assert seconds == 10.0 and not capsys.readouterr().err  # the first process tells it


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_during_a_run_keeps_what_is_trained(
    tmp_path: Path, images: Path, small_model: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def interrupt_after_first(events: Iterator[Event]) -> None:
        for event in events:
            seen.append(event)
            if isinstance(event, Step):
                signal.raise_signal(number)

    seen: list[Event] = []
    monkeypatch.setattr(command_train, "show", interrupt_after_first)
    assert main(["train", str(write_config(tmp_path, images, small_model)), "--max-steps", "50"]) == 0
    finished = seen[-1]
    assert isinstance(finished, Finished) and finished.stopped and finished.step == 1
    assert finished.path is not None and read_header(finished.path).metadata["ss_steps"] == "1"


def test_show_tells_saves_failures_and_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    show(
        [
            Caching(12, 12),
            Step(1, 2, 1, 0.5, 0.5, {}, 1.0, 1.0),
            Saved(Path("a.safetensors"), 1, 1, "epoch"),
            Failed(2, "no", Path("b.safetensors")),
            Failed(0, "no", None),
            Finished(Path("c.safetensors"), 2, 0.25, 9.6, stopped=True),
        ]
    )
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "saved a.safetensors (epoch 1, step 1, epoch)",
        "failed at step 2; kept b.safetensors",
        "failed at step 0; nothing to keep",
        "stopped at step 2: loss 0.2500, 10 s, c.safetensors",
    ]
    assert "encode images 12/12" in err and "loss=0.5000" in err.rsplit("train:", 1)[1]
