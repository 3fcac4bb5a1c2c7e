"""`lyco train` under accelerate and torchrun: the real commands, on the embedded model and the CPU.

By hand: 8 images, 4 in a step of all processes together, so 2 steps an epoch; each of two processes has 2
of the 4.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from lib_lyco.entry.cli import main
from tests.architecture import ROOT

pytestmark = pytest.mark.slow
needs_accelerate = pytest.mark.skipif(find_spec("accelerate") is None, reason="needs accelerate")
LAUNCHERS = ["torchrun", pytest.param("accelerate", marks=needs_accelerate)]
PATIENCE = 300.0
"""Seconds, for a busy machine."""


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Writes the config of a run on the embedded model."""
    images = tmp_path / "images" / "1_thing"
    images.mkdir(parents=True)
    for index in range(8):
        Image.effect_noise((64, 64), 40 + 10 * index).convert("RGB").save(images / f"{index}.png")
        (images / f"{index}.txt").write_text(f"thing {index}", encoding="utf-8")

    def write(name: str, batch_size: int, epochs: int) -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(
            f'images = "{images.parent.as_posix()}"\noutput = "{(tmp_path / name).as_posix()}"\n'
            f'name = "network"\nresolution = [64, 64]\nbucket_min = 32\nrank = 2\nalpha = 2.0\nseed = 3\n'
            f'batch_size = {batch_size}\nepochs = {epochs}\nlatent_cache = "memory"\n'
            # steps as long as the gradients are, so that these are compared
            'optimizer_type = "SGDNesterov"\nlearning_rate = 0.1\nte_learning_rate = 0.0\n'
            'save_precision = "fp32"\nscheduler = "constant"\n',
            encoding="utf-8",
        )
        return path

    return write


def command(launcher: str, config: Path, machine: Sequence[str] = ("--num_machines", "1")) -> list[str]:
    """What starts two processes of `lyco train`, on one machine or one of them on each of two."""
    if launcher == "torchrun":
        start = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    else:
        start = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", *machine]
        start += ["--mixed_precision", "no", "--dynamo_backend", "no"]
        if "--main_process_port" not in machine:
            start += ["--main_process_port", str(free_port())]
    return [sys.executable, "-m", *start, "-m", "lib_lyco", "train", str(config), "--device", "cpu"]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def started(words: Sequence[str], told: Path) -> subprocess.Popen[bytes]:
    """Runs in a session of its own, as in a terminal; what it says goes into a file."""
    with told.open("wb") as file:
        return subprocess.Popen(
            words,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def ended(process: subprocess.Popen[bytes]) -> int:
    """Waits for the end; nothing of it stays, whatever happens."""
    try:
        return process.wait(PATIENCE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def said(told: Path) -> str:
    return told.read_text(encoding="utf-8", errors="replace")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_same_training(two: Path, one: Path) -> None:
    ours, theirs = (load_file(folder / "network.safetensors") for folder in (two, one))
    assert ours.keys() == theirs.keys()
    assert any(bool(tensor.any()) for name, tensor in theirs.items() if "lora_up" in name)
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-3, atol=1e-6, msg=name)
    assert files(two) == files(one)  # one writer, and nothing half-written


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_launched_processes_train_what_one_does(
    config: Callable[..., Path], tmp_path: Path, launcher: str
) -> None:
    assert main(["train", str(config("one", 4, 2)), "--device", "cpu"]) == 0
    told = tmp_path / "told.txt"
    assert ended(started(command(launcher, config("two", 2, 2)), told)) == 0, said(told)
    assert_same_training(tmp_path / "two", tmp_path / "one")
    assert said(told).count("finished at step 4") == 1 and "encode images 4/4" in said(told)


@needs_accelerate
def test_two_machines_train_what_one_process_does(config: Callable[..., Path], tmp_path: Path) -> None:
    assert main(["train", str(config("one", 4, 2)), "--device", "cpu"]) == 0
    path, port = config("two", 2, 2), str(free_port())
    tolds = [tmp_path / f"told{rank}.txt" for rank in range(2)]
    running: list[subprocess.Popen[bytes]] = []
    for rank, told in enumerate(tolds):
        machine = ["--num_machines", "2", "--machine_rank", str(rank)]
        machine += ["--main_process_ip", "127.0.0.1", "--main_process_port", port]
        running.append(started(command("accelerate", path, machine), told))
    assert [ended(one) for one in running] == [0, 0], [said(told) for told in tolds]
    assert_same_training(tmp_path / "two", tmp_path / "one")
    assert ["finished at step 4" in said(told) for told in tolds] == [True, False]


@needs_accelerate
def test_accelerate_that_starts_one_of_two_is_refused(config: Callable[..., Path], tmp_path: Path) -> None:
    told = tmp_path / "told.txt"
    words = [word.replace("--multi_gpu", "--cpu") for word in command("accelerate", config("two", 2, 1))]
    assert ended(started(words, told)) != 0
    assert "--multi_gpu, which works on CPUs too" in said(told) and not (tmp_path / "two").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of a terminal")
@pytest.mark.parametrize(
    ("launcher", "way"),
    [
        ("torchrun", "Ctrl-C in the terminal"),
        pytest.param("accelerate", "SIGTERM to the launcher", marks=needs_accelerate),
    ],
)
def test_interrupt_saves_once_and_the_run_goes_on_from_there(
    config: Callable[..., Path], tmp_path: Path, launcher: str, way: str
) -> None:
    path, told, folder = config("two", 2, 500), tmp_path / "told.txt", tmp_path / "two"
    process = started(command(launcher, path), told)
    since = time.monotonic()
    while "epoch=2" not in said(told) and process.poll() is None and time.monotonic() < since + PATIENCE:
        time.sleep(0.1)
    if way.startswith("Ctrl-C"):
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    ended(process)
    assert said(told).count("stopped at step") == 1, said(told)
    assert said(told).count("saved ") == 1 and said(told).count("Stopping after this step") == 1
    names = [name for name in files(folder) if name != "logs"]
    assert [Path(name).suffix for name in names] == [".safetensors", ".state"]
    assert len({Path(name).stem for name in names}) == 1
    step = int(Path(names[0]).stem.rpartition("step")[2])
    again = tmp_path / "again.txt"
    further = [*command(launcher, path), "--resume", "auto", "--max-steps", str(step + 1)]
    assert ended(started(further, again)) == 0, said(again)
    assert f"finished at step {step + 1}" in said(again)


@pytest.mark.parametrize("launcher", LAUNCHERS[-1:])
def test_process_that_fails_ends_the_others_with_its_reason(
    config: Callable[..., Path], tmp_path: Path, launcher: str
) -> None:
    path, told = config("two", 2, 500), tmp_path / "told.txt"
    picture = tmp_path / "images" / "1_thing" / "1.png"
    picture.write_bytes(picture.read_bytes()[:2000])  # whose header is whole; the second process encodes it
    process = started(command(launcher, path), told)
    assert ended(process) != 0
    lines = said(told)
    assert "Another process of this training has ended" in lines, lines
    assert "process 2 of 2: " in lines and lines.count("1.png") >= 2
