"""Measures and prints the table: `python -m bench.apply --dtype float32 --rounds 3`."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from bench.apply.arm import Arm, LayerByLayer, Ours, Peft
from bench.apply.builtin import Builtin
from bench.apply.model import MadeUpModel, made_up_lora, write_network
from lib_lyco.apply.match import match_network
from lib_lyco.files.identity import TICK_NS
from lib_lyco.network.load import load_network
from lib_lyco.network.network import Network

Wish = Sequence[tuple[Network, float]]
Seconds = dict[str, list[float]]


class Clock:
    """Times work in wall seconds or in CPU seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    def time(self, seconds: Seconds, step: str, work: Callable[[], object]) -> None:
        start = self._now()
        work()
        seconds.setdefault(step, []).append(self._now() - start)


def main() -> None:
    """Runs every arm in turn, several rounds, and prints medians."""
    parser = argparse.ArgumentParser(prog="bench.apply", description=__doc__)
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peft", action="store_true", help="measure PEFT as well")
    parser.add_argument("--webui", type=Path, help="a checkout of the WebUI, to measure its builtin Lora")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: for one thread on a busy machine"
    )
    parser.add_argument("--json", action="store_true", help="print every single time as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = Clock(time.process_time if options.clock == "cpu" else time.perf_counter)
    model = MadeUpModel(getattr(torch, options.dtype))
    networks = [made_up_lora(model, options.rank, seed) for seed in range(2)]
    touched = sum(
        weight.numel() * weight.element_size()
        for weight in (model.by_layer[layer].get_parameter("weight") for layer in model.lora_layers())
    )
    arms: dict[str, Arm] = {
        "ours": Ours(model),
        "ours, one set kept": Ours(model, budget_bytes=touched),
        "layer by layer": LayerByLayer(model),
    }
    if options.peft:
        arms["peft"] = Peft(model, networks)
    if options.webui is not None:
        arms["builtin"] = read_with_builtin(options.webui, model, networks, clock)
    seconds: dict[str, Seconds] = {arm: {} for arm in arms}
    floor: Seconds = {}
    held: dict[str, int] = {}
    for _ in range(options.rounds):
        measure_floor(clock, model, networks, floor)
        for name, arm in arms.items():
            measure_arm(clock, arm, networks, seconds[name])
            held[name] = arm.held()
            arm.off()
            arm.start()
        report(seconds, floor, held, touched)
    if options.json:
        print(json.dumps({"seconds": seconds, "floor": floor, "held": held, "touched": touched}))


def read_with_builtin(
    webui: Path, model: MadeUpModel, networks: Sequence[Network], clock: Clock
) -> Builtin:
    """Returns the builtin's arm, and prints how long both take to read the same file."""
    seconds = Seconds()
    with TemporaryDirectory() as folder:
        files = {network.name: write_network(network, Path(folder)) for network in networks}
        builtin = Builtin(webui, model, files)
        path = next(iter(files.values()))
        time.sleep(TICK_NS / 1e9 + 1)  # a file so young would be hashed
        for _ in range(9):
            clock.time(seconds, "ours", lambda: load_network(path))
            clock.time(seconds, "builtin", lambda: builtin.load(path))
            clock.time(seconds, "bytes alone", lambda: path.read_bytes())
        size = path.stat().st_size
    medians = [f"{step} {statistics.median(times) * 1e3:.1f} ms" for step, times in seconds.items()]
    print(f"reading {size / 1e6:.0f} MB: {', '.join(medians)}")
    return builtin


def measure_floor(clock: Clock, model: MadeUpModel, networks: Sequence[Network], floor: Seconds) -> None:
    """Copies the touched weights: the bytes that any exact switch has to read and write."""
    weights = [model.by_layer[layer].get_parameter("weight").detach() for layer in model.lora_layers()]
    clones = [torch.empty_like(weight) for weight in weights]

    def copy() -> None:
        for clone, weight in zip(clones, weights, strict=True):
            clone.copy_(weight)

    copy()
    clock.time(floor, "copy", copy)
    targets = model.targets()
    clock.time(floor, "match", lambda: match_network(networks[0], targets))


def measure_arm(clock: Clock, arm: Arm, networks: Sequence[Network], seconds: Seconds) -> None:
    """One round of one arm; ends with the second network on."""
    one, two = networks
    steps: Mapping[str, Wish] = {
        "first use": [(one, 1.0)],
        "switch": [(two, 1.0)],
        "multiplier only": [(two, 0.5)],
        "two networks": [(one, 0.7), (two, 0.5)],
    }
    for step, wanted in steps.items():
        clock.time(seconds, step, lambda wanted=wanted: arm.apply(wanted))
    clock.time(seconds, "off", arm.off)
    arm.apply([(one, 1.0)])
    arm.apply([(two, 1.0)])
    clock.time(seconds, "back to a set used before", lambda: arm.apply([(one, 1.0)]))


def report(seconds: Mapping[str, Seconds], floor: Seconds, held: Mapping[str, int], touched: int) -> None:
    """Prints the medians of the rounds so far: seconds, and multiples of the plain copy."""
    copy = statistics.median(floor["copy"])
    print(
        f"touched weights {touched / 1e9:.2f} GB, copied in {copy:.3f} s "
        f"({2 * touched / copy / 1e9:.1f} GB/s read and written)"
    )
    print(f"match {statistics.median(floor['match']) * 1e3:.0f} ms\n")
    print("| | " + " | ".join(seconds) + " |")
    print("|---|" + "---|" * len(seconds))
    for step in next(iter(seconds.values())):
        cells = [
            f"{statistics.median(arm[step]):.3f} s ({statistics.median(arm[step]) / copy:.2f} copies)"
            for arm in seconds.values()
        ]
        print(f"| {step} | " + " | ".join(cells) + " |")
    print(
        "| bytes held | " + " | ".join(f"{size / 1e9:.2f} GB" for size in held.values()) + " |", flush=True
    )


if __name__ == "__main__":
    main()
