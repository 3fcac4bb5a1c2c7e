"""SIGKILL at random moments: what is resumed ends as if it had never been killed."""

from __future__ import annotations

import multiprocessing
import random
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lib_lyco.demo.concepts import CAT, write_training_folder
from lib_lyco.train.config import TrainConfig
from tests.train.killed import trains

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL and no forkserver")


def make_config(tmp_path: Path, name: str) -> TrainConfig:
    return TrainConfig(
        images=str(tmp_path / "images"),
        resolution=(64, 64),
        buckets=False,
        flip=True,
        batch_size=2,
        repeats=1,
        max_steps=4,
        rank=1,
        te_learning_rate=(0.0,),
        learning_rate=1e-2,
        save_every_n_steps=1,
        save_every_n_epochs=1,
        save_precision="fp32",
        output=str(tmp_path / name),
        name="cat",
        resume="auto",
    )


def seconds_until_over(config: TrainConfig, patience: float | None) -> float | None:
    """Trains in a process that imports nothing anew, killed after `patience` seconds of training.

    Returns:
        Seconds of training; None if it was killed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.train.killed"])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=trains, args=(config, there))
    process.start()
    there.close()
    assert here.recv()
    began = time.monotonic()
    process.join(patience)
    process.kill()
    process.join()
    assert process.exitcode in (0, -9)
    return time.monotonic() - began if process.exitcode == 0 else None


def finished_files(folder: Path) -> dict[str, bytes]:
    """Every file a user sees, whole; reading a half-written one raises."""
    there = list(folder.iterdir()) if folder.is_dir() else []
    found = [path for path in there if path.is_file() and not path.name.startswith(".")]
    for path in found:
        load_file(path)
    return {path.name: path.read_bytes() for path in found if path.suffix != ".state"}


def kill_and_resume(tmp_path: Path, kills: int) -> None:
    write_training_folder(tmp_path / "images", [CAT], size=64)
    whole = make_config(tmp_path, "whole")
    seconds = seconds_until_over(whole, None)
    assert seconds is not None
    expected = {path.name: load_file(path) for path in Path(whole.output).glob("*.safetensors")}
    assert len(expected) >= 4
    chance, done, run = random.Random(), 0, 0
    while done < kills:
        run += 1
        config = make_config(tmp_path, f"broken{run}")
        folder, before = Path(config.output), dict[str, bytes]()
        while seconds_until_over(config, chance.uniform(0, seconds)) is None:
            done += 1
            now = finished_files(folder)
            assert now | before == now, "an intermediate file was changed"
            before = {name: data for name, data in now.items() if name != "cat.safetensors"}
        assert sorted(path.name for path in folder.glob("*.safetensors")) == sorted(expected)
        assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
        for name, tensors in expected.items():
            found = load_file(folder / name)
            assert found.keys() == tensors.keys()
            assert all(torch.equal(found[key], tensors[key]) for key in tensors), name


def test_run_killed_at_random_moments_ends_as_if_never_killed(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, 10)


@pytest.mark.marathon
def test_run_killed_a_hundred_times_ends_as_if_never_killed(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, 100)
