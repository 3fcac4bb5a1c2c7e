"""Measures whole training steps, ours beside sd-scripts', on a made-up base model of full size.

    python -m bench.train.peer --sd-scripts DIR --python PY
    python -m bench.train.peer --sd-scripts DIR --python PY --family sdxl --networks lora --apart

DIR is a checkout of sd-scripts, PY the Python of an environment with its requirements (and lycoris-lora).
Each trains in a process of its own, from the same command line in sd-scripts' words, which ours imports;
their steps are made in turn, each while the other waits; with `--apart`, for models of which memory holds
one only, they run one after the other, `--rounds` times. The base model lies in half precision, in which
sd-scripts keeps it where --mixed_precision is half, too. A step is everything from one to the next: batch,
text encoder, UNet, loss, backward, clipping, optimiser, and what is told of it. The first is not timed,
nor is the last, after which files are written; these tell whether both have trained the same layers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch
from PIL import Image

from bench.train.gate import MARK
from lib_lyco.demo.madeup import write_checkpoint
from lib_lyco.files.header import read_header
from lib_lyco.train.seed import derived_generator

_ROOT = Path(__file__).parents[2]
_LYCORIS = ("--network_module", "lycoris.kohya", "--network_args", "preset=attn-mlp")
NETWORKS: Mapping[str, tuple[str, ...]] = {
    "lora": ("--network_module", "networks.lora"),
    "lora-unet": ("--network_module", "networks.lora", "--network_train_unet_only"),
    "locon": (*_LYCORIS, "algo=locon"),
    "loha": (*_LYCORIS, "algo=loha"),
    "lokr": (*_LYCORIS, "algo=lokr", "factor=16"),
    "ia3": (*_LYCORIS, "algo=ia3"),
    "dylora": (*_LYCORIS, "algo=dylora", "block_size=4"),
}
"""What is trained, in sd-scripts' flags. With its preset `full`, the default, lycoris-lora 4.1.3 ends with
"duplicated lora name: lora_unet_time_embedding_linear_1" on sd-scripts' UNet; `ia3` finds nothing."""
SCRIPTS: Mapping[str, tuple[str, ...]] = {
    "sd1": ("train_network",),
    "sdxl": ("sdxl_train_network", "--network_train_unet_only", "--cache_text_encoder_outputs"),
}
"""The script that trains a family, and its flags; of SDXL the UNet alone, as its users mostly do."""


@dataclass(frozen=True)
class Facts:
    """What one trainer's steps took."""

    wall: float
    """Seconds, median."""
    cpu: float
    """Seconds, median."""
    peak: float
    """Bytes while steps were made."""
    loss: float
    """Mean."""
    network: tuple[int, int, int]
    """Layers, tensors and bytes of the file written."""


class Arm:
    """A trainer in a process of its own, halted before its second step."""

    def __init__(self, command: Sequence[str], where: Path, log: Path, threads: int) -> None:
        settings = {"PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
        self._log = log.open("w", encoding="utf-8")
        self._process = subprocess.Popen(
            command,
            cwd=where,
            env={**os.environ, **settings},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self.told: list[dict[str, float]] = []

    def __enter__(self) -> Arm:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        if kind:
            self._process.kill()
        self._process.communicate()
        self._log.close()

    def listen(self) -> None:
        """Waits until a step is done."""
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith(MARK):
                self.told.append(json.loads(line.removeprefix(MARK)))
                return
            self._log.write(line)
        raise RuntimeError(f"it ended too early: see {self._log.name}")

    def step(self) -> None:
        """Lets it make one step."""
        self.release()
        self.listen()

    def release(self) -> None:
        """Lets it make its next step without listening."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one line of a table per network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sd-scripts", type=Path, required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--family", choices=list(SCRIPTS), default="sd1")
    parser.add_argument("--checkpoint", type=Path, help="of the family; left out: a made-up one is written")
    parser.add_argument("--size", type=int, default=256, help="pixels of a side")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--precision", choices=["no", "bf16", "fp16"], default="no")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--apart", action="store_true", help="one trainer at a time")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each, with --apart")
    parser.add_argument(
        "--keep", type=Path, help="a folder for logs and networks; left out: nothing is kept"
    )
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (chosen.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        write_images(folder / "images", chosen.size, chosen.batch * (chosen.steps + 2))
        if not chosen.checkpoint:
            chosen.checkpoint = write_checkpoint(folder / "base.safetensors", chosen.family, width=None)
        turns = f"{chosen.rounds} turns of each, " if chosen.apart else ""
        print(
            f"{chosen.family}, torch {torch.__version__}, {chosen.threads} threads, {chosen.size} px, "
            f"batch {chosen.batch}, rank {chosen.rank}, mixed_precision {chosen.precision}, "
            f"{turns}median of {chosen.steps} steps\n\n"
            "| | sd-scripts, wall (CPU) | ours, wall (CPU) | ratio, wall (CPU) | peak memory | ratio | "
            "layers, tensors, MB | loss | load |\n|---|---|---|---|---|---|---|---|---|"
        )
        for name in chosen.networks:
            print(row(name, *measure(name, chosen, folder)), flush=True)


def measure(name: str, chosen: argparse.Namespace, folder: Path) -> tuple[Facts, Facts]:
    """Trains one network with both."""
    programs = (
        ([chosen.python, "-m", "bench.train.arm_sd_scripts"], chosen.sd_scripts.resolve(), "sd-scripts"),
        ([sys.executable, "-m", "bench.train.arm_ours"], _ROOT, "ours"),
    )
    files = [folder / f"{name}-{arm}.safetensors" for _, _, arm in programs]

    def begun(index: int) -> Arm:
        (command, where, _), file = programs[index], files[index]
        file.unlink(missing_ok=True)
        words = [*command, *flags(name, chosen, folder, file)]
        return Arm(words, where, file.with_suffix(".log"), chosen.threads)

    told = apart(begun, chosen.steps, chosen.rounds) if chosen.apart else in_turn(begun, chosen.steps)
    first, second = (facts(steps, file) for steps, file in zip(told, files, strict=True))
    return first, second


def in_turn(begun: Callable[[int], Arm], steps: int) -> list[list[dict[str, float]]]:
    """What both tell of their steps, each made while the other waits."""
    arms = [begun(0), begun(1)]
    with arms[0], arms[1]:
        for arm in arms:
            arm.listen()
        for _ in range(steps):
            for arm in arms:
                arm.step()
        for arm in arms:
            arm.release()
    return [arm.told[1:] for arm in arms]


def apart(begun: Callable[[int], Arm], steps: int, rounds: int) -> list[list[dict[str, float]]]:
    """What both tell of their steps, where one has ended before the other begins."""
    told: list[list[dict[str, float]]] = [[], []]
    for index in [0, 1] * rounds:
        with begun(index) as arm:
            arm.listen()
            for _ in range(steps):
                arm.step()
            arm.release()
        told[index] += arm.told[1:]
        walls = ", ".join(f"{step['wall']:.2f}" for step in arm.told[1:])
        print(f"({('sd-scripts', 'ours')[index]}: {walls} s)", file=sys.stderr, flush=True)
    return told


def flags(name: str, chosen: argparse.Namespace, folder: Path, to: Path) -> list[str]:
    """A script of sd-scripts and its flags; the step before the gate and the last one are not timed."""
    pairs = {
        "pretrained_model_name_or_path": chosen.checkpoint.resolve(),
        "train_data_dir": folder / "images",
        "output_dir": to.parent,
        "output_name": to.stem,
        "resolution": chosen.size,
        "train_batch_size": chosen.batch,
        "max_train_steps": chosen.steps + 2,
        "network_dim": chosen.rank,
        "network_alpha": chosen.rank // 2,
        "optimizer_type": "AdamW",
        "learning_rate": 1e-4,
        "mixed_precision": chosen.precision,
        "caption_extension": ".txt",
        "max_data_loader_n_workers": 0,
        "seed": 1,
    }
    words = [word for flag, value in pairs.items() for word in (f"--{flag}", str(value))]
    script, *given = SCRIPTS[chosen.family]
    return [script, *words, "--cache_latents", "--sdpa", *given, *NETWORKS[name]]


def write_images(folder: Path, size: int, count: int) -> None:
    """Writes `count` images' worth of one epoch: four pictures of noise with captions, repeated."""
    inner = folder / f"{-(-count // 4)}_toy"
    inner.mkdir(parents=True, exist_ok=True)
    for number in range(4):
        generator = derived_generator("bench image", number)
        pixels = torch.randint(256, (size, size, 3), dtype=torch.uint8, generator=generator)
        Image.fromarray(pixels.numpy()).save(inner / f"{number}.png")
        (inner / f"{number}.txt").write_text(f"a photo of toy number {number}", encoding="utf-8")


def facts(steps: Sequence[Mapping[str, float]], file: Path) -> Facts:
    """What the timed steps took, and what was written."""
    tensors = read_header(file).tensors
    layers = {name.split(".")[0] for name in tensors}
    return Facts(
        wall=statistics.median(step["wall"] for step in steps),
        cpu=statistics.median(step["cpu"] for step in steps),
        peak=max(step["peak"] for step in steps),
        loss=statistics.mean(step["loss"] for step in steps),
        network=(len(layers), len(tensors), file.stat().st_size),
    )


def row(name: str, theirs: Facts, ours: Facts) -> str:
    """One line of the table; the ratios are theirs over ours for time, ours over theirs for memory."""
    networks = " / ".join(
        f"{one[0]}, {one[1]}, {one[2] / 1e6:.1f}" for one in (theirs.network, ours.network)
    )
    return (
        f"| {name} | {theirs.wall:.2f} s ({theirs.cpu:.2f}) | {ours.wall:.2f} s ({ours.cpu:.2f}) "
        f"| {theirs.wall / ours.wall:.2f}x ({theirs.cpu / ours.cpu:.2f}x) "
        f"| {theirs.peak / 1e9:.2f} / {ours.peak / 1e9:.2f} GB | {ours.peak / theirs.peak:.2f} "
        f"| {networks} | {theirs.loss:.3f} / {ours.loss:.3f} | {os.getloadavg()[0]:.1f} |"
    )


if __name__ == "__main__":
    main()
