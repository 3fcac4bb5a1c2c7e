"""Measures issue 3's table in a real WebUI: `python -m bench.host --webui DIR --python PY`."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from bench.host.floor import count_work, floor_of
from bench.host.table import CASES, READING, Found, print_table
from lib_lyco.demo.madeup import FULL, Algo, network_metadata, network_tensors, write_checkpoint
from lib_lyco.files.save import save_tensors
from tests.host.driver import Host, make_data_dir
from tests.host.real import RealHost

MODEL = "madeup-sd15"
NETWORKS: Mapping[str, tuple[Algo, int, torch.dtype]] = {
    "one": ("lora", 32, torch.float16),
    "two": ("lora", 32, torch.float16),
    "attention": ("lora", 32, torch.float16),
    "locon": ("locon", 32, torch.float16),
    # the builtin skips LoHa of float16 on a CPU, without a word
    "loha": ("loha", 16, torch.float32),
    "lokr": ("lokr", 32, torch.float16),
}
"""File -> algorithm, rank, dtype; `attention` has nothing but the UNet's attention."""

OPTIONS = {
    "sd_model_checkpoint": f"{MODEL}.safetensors",
    "lora_in_memory_limit": 8,
    "lyco_memory_mb": 2900,
    "lyco_report": "always",
}
"""Both keep the files that they have read; ours keeps two merged sets of a LoRA (1.4 GB each)."""

EXTENSION = Path(__file__).with_name("extension")


@dataclass(frozen=True)
class Taken:
    """By one picture. Pairs are wall and CPU seconds."""

    seconds: tuple[float, float]
    """Of applying and reading."""
    reading: tuple[float, float]
    layers: Sequence[float]
    """CPU seconds and number of the builtin's calls from layers."""

    def beside_reading(self) -> tuple[float, float]:
        return self.seconds[0] - self.reading[0], self.seconds[1] - self.reading[1]


class Arm:
    """Ours or the builtin, in a running WebUI."""

    def __init__(self, host: Host, name: str) -> None:
        self._host = host
        self._name = name

    def ask(self, question: str) -> Any:
        """A question to the bench's extension."""
        return self._host.request("POST", f"/lyco-bench/{question}")

    def enter(self) -> None:
        """Makes it the one that acts on `<lora:>`."""
        self._host.set_options(lyco_own_lora=self._name == "ours")

    def draw(self, tags: Mapping[str, float], steps: int = 1) -> Taken:
        """A picture."""
        text = "".join(f"<lora:{network}:{strength}>" for network, strength in tags.items())
        comments = self._host.txt2img(f"a circle {text}", steps=steps, sampler_name="Euler").comments
        assert self._name == "builtin" or comments.count("applied") == len(tags), comments
        rows: dict[str, list[float]] = self.ask("taken")
        nothing = [0.0, 0.0, 0]
        parts = [rows.get(f"{self._name}{part}", nothing) for part in ("", " in layers", " in steps")]
        wall, cpu = (sum(part[place] for part in parts) for place in range(2))
        read = rows.get(f"{self._name} reading", nothing)
        return Taken((wall, cpu), (read[0], read[1]), parts[1][1:])

    def memory(self) -> tuple[float, float]:
        """Bytes beyond the model with `attention` on: of the process, of originals."""
        before = self.ask("forget")
        self.draw({"attention": 1.0})
        after = self.ask("memory")
        return after["rss"] - before["rss"], after[self._name]


def measure(arm: Arm, found: Found) -> None:
    """One round of one arm."""
    arm.enter()
    found.memory.append(arm.memory())
    arm.ask("forget")
    for case in CASES:
        if case.grows:
            arm.ask("ready")
        taken = arm.draw(case.tags)
        if case.reads:
            found.add(case.name, *taken.seconds)
            found.add(READING, *taken.reading)
        elif case.name:
            found.add(case.name, *taken.beside_reading())
    arm.ask("forget")
    found.calls = count_calls(arm)


def count_calls(arm: Arm) -> tuple[float, float]:
    """Patched calls a step with nothing applied, and their seconds."""
    few, many = arm.draw({}, steps=1).layers, arm.draw({}, steps=3).layers
    return (many[1] - few[1]) / 2, (many[0] - few[0]) / 2


def write_networks(folder: Path) -> None:
    """All network files."""
    plan = FULL["sd1"]
    for seed, (name, (algo, rank, dtype)) in enumerate(NETWORKS.items()):
        tensors = network_tensors(plan, algo, rank, seed, dtype)
        if name == "attention":
            tensors = {key: value for key, value in tensors.items() if "_unet_" in key and "_attn" in key}
        save_tensors(folder / f"{name}.safetensors", tensors, network_metadata(plan, algo, rank))


def prepare(folder: Path, checkpoint: Path | None) -> Path:
    """A data dir with the model, the networks and both extensions."""
    data = make_data_dir(folder / "data", options=OPTIONS)
    (data / "extensions" / "lyco-bench").symlink_to(EXTENSION, target_is_directory=True)
    if checkpoint is None:
        checkpoint = write_checkpoint(folder / f"{MODEL}.safetensors", "sd1", None)
    for suffix in (".safetensors", ".yaml"):
        (data / "models" / "Stable-diffusion" / f"{MODEL}{suffix}").symlink_to(
            checkpoint.with_suffix(suffix)
        )
    write_networks(data / "models" / "Lora")
    return data


def main(arguments: Sequence[str] | None = None) -> None:
    """Starts a WebUI, measures both in turn, prints the least times."""
    parser = argparse.ArgumentParser(prog="bench.host", description=__doc__)
    parser.add_argument("--webui", type=Path, required=True, help="the WebUI's folder")
    parser.add_argument("--python", required=True, help="the interpreter that has what it needs")
    parser.add_argument(
        "--checkpoint", type=Path, help="a full-size SD1.5 with its .yaml, instead of a made-up one"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print every single time as well")
    options = parser.parse_args(arguments)
    os.environ |= {"WEBUI_DIR": str(options.webui.resolve()), "WEBUI_PYTHON": options.python}
    found = {"ours": Found(), "builtin": Found()}
    with TemporaryDirectory() as folder:
        data = prepare(Path(folder), options.checkpoint and options.checkpoint.resolve())
        server = RealHost(data, ["--api", "--nowebui"])
        host = Host(server, data)
        try:
            server.start()
            run(host, found, options.rounds)
        finally:
            server.stop()
    if options.json:
        print(json.dumps({name: arm.seconds for name, arm in found.items()}))


def run(host: Host, found: Mapping[str, Found], rounds: int) -> None:
    """All rounds, and after each the table of all so far."""
    works = {name: count_work(host.networks / f"{name}.safetensors") for name in NETWORKS}
    floors = {
        case.name: floor_of([works[name] for name in case.tags if not case.is_kept]) for case in CASES
    }
    Arm(host, "ours").draw({})  # what a first picture costs of itself
    rates: dict[str, float] = {}
    for turn in range(rounds):
        for name in sorted(found, reverse=turn % 2 == 0):
            arm = Arm(host, name)
            measured: Mapping[str, float] = arm.ask("rates")
            rates = {key: max(rate, rates.get(key, 0.0)) for key, rate in measured.items()}
            measure(arm, found[name])
            print(f"round {turn + 1}: {name}, load {os.getloadavg()[0]:.1f}", flush=True)
        product = f"{rates['operations'] / 1e9:.0f} ({rates['operations of rank 32'] / 1e9:.0f} at rank 32)"
        print(
            f"{rates['threads']:.0f} thread(s), {rates['bytes'] / 1e9:.0f} GB/s read and written, "
            f"{product} GFLOP/s, the bytes of a file: "
            f"{bytes_alone(host.networks / 'one.safetensors') * 1e3:.1f} ms"
        )
        print_table(found, {**floors, READING: floor_of([])}, rates)


def bytes_alone(path: Path) -> float:
    """Seconds, the median of nine."""
    seconds: list[float] = []
    for _ in range(9):
        start = time.perf_counter()
        path.read_bytes()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
