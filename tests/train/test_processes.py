"""Several processes train what one would with the whole batch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from lib_lyco.train.config import TrainConfig
from lib_lyco.train.config_file import dump_config
from lib_lyco.train.events import Step
from tests.architecture import ROOT
from tests.train.test_run import final_file, run

Make = Callable[..., TrainConfig]


def launched(config: TrainConfig, folder: Path, processes: int) -> list[str]:
    """Trains in that many processes; returns the lines that they have told."""
    path = folder / f"{config.name}.toml"
    path.write_text(dump_config(config), encoding="utf-8")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "tests.train.launched", str(path)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def steps_of(lines: list[str]) -> list[tuple[float, ...]]:
    """Step, epoch, loss and learning rate of each step."""
    return [tuple(map(float, line.split()[1:])) for line in lines if line.startswith("step ")]


@pytest.mark.parametrize(
    "values",
    [
        {"warmup_steps": 2, "accumulation": 2, "flip": True, "latent_cache": "memory"},
        {"latent_cache": "disk", "validation_split": 0.5},
    ],
)
def test_two_processes_train_what_one_does_with_the_whole_batch(
    make_config: Make, tmp_path: Path, values: dict[str, Any]
) -> None:
    # by hand: 5 samples, 4 in one bucket and 1 in another: a batch of 4, and one of 1 that leaves a
    # process without any
    settings: dict[str, Any] = {
        "epochs": 3,
        "algo": "full",
        "learning_rate": 1e-4,
        "save_every_n_epochs": 1,
    }
    alone = make_config(name="alone", batch_size=4, **settings, **values)
    together = make_config(name="together", batch_size=2, **settings, **values)
    steps = [
        (event.step, event.epoch, event.loss, event.learning_rates["unet"])
        for event in run(alone)
        if isinstance(event, Step)
    ]
    told = steps_of(launched(together, tmp_path, 2))
    assert [one[:2] for one in told] == [one[:2] for one in steps]
    for one, two in zip(told, steps, strict=True):
        assert one[2:] == pytest.approx(two[2:], rel=1e-5)
    ours, theirs = load_file(final_file(together)), load_file(final_file(alone))
    assert ours.keys() == theirs.keys()
    for key, tensor in theirs.items():
        # by norm: where a gradient is all rounding, as of a key's bias, Adam still makes steps of it
        assert torch.dist(ours[key], tensor) <= 1e-3 * torch.linalg.vector_norm(tensor) + 1e-5, key
    assert not [path for path in Path(together.output).iterdir() if path.name.startswith(".")]
    with safe_open(final_file(together), "pt") as file:
        total = file.metadata()["ss_total_batch_size"]  # sd-scripts: of all processes, with accumulation
    assert int(total) == 4 * together.accumulation


@pytest.mark.parametrize("kept", ["memory", "disk"])
def test_each_process_encodes_its_share(make_config: Make, tmp_path: Path, kept: str) -> None:
    # by hand: 3 images and 3 captions, of which the first of two processes has 2
    values = {
        "te_learning_rate": 0.0,
        "latent_cache": kept,
        "text_cache": kept,
        "batch_size": 1,
        "epochs": 2,
    }
    config = make_config(name="together", **values)
    lines = launched(config, tmp_path, 2)
    asked = 1 if kept == "disk" else 0  # what each VAE and text encoder makes of a probe names the files
    assert sorted(line for line in lines if line.startswith("process ")) == [
        f"process 0 encoded {2 + asked} images, {2 + asked} captions",
        f"process 1 encoded {1 + asked} images, {1 + asked} captions",
    ]
    alone = [event for event in run(config.replaced(name="alone", batch_size=2)) if isinstance(event, Step)]
    for one, two in zip(steps_of(lines), alone, strict=True):
        assert one[2] == pytest.approx(two.loss, rel=1e-5)
