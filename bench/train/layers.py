"""Measures one layer's forward and backward pass: bare, by lycoris' own forward, and ours.

    python -m bench.train.layers --rounds 7

The three run in turn in one process on the same module, the same input and the same gradient of the
output; lycoris' forward is its default, base(x) + op(x, (W + delta) - W). The clock counts CPU seconds on
the CPU, so that other programs do not disturb it, and wall seconds on a GPU. The last column is the
largest difference of output and gradients from lycoris', relative to each tensor's largest value.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lib_lyco.models.target import Target
from lib_lyco.naming.layer import LayerName
from lib_lyco.train.layer import AlgoSettings, TrainableLayer
from lib_lyco.train.network import Recipe, build_network

Forward = Callable[[Tensor], Tensor]
CASES: dict[str, AlgoSettings] = {
    "LoRA, LoCon r16": AlgoSettings("lora", 16, 8.0),
    "LoCon r64": AlgoSettings("lora", 64, 32.0),
    "LoHa r4": AlgoSettings("loha", 4, 2.0),
    "LoHa r8": AlgoSettings("loha", 8, 4.0),
    "LoHa r16": AlgoSettings("loha", 16, 8.0),
    "LoKr factor 4": AlgoSettings("lokr", 1024, 1.0, factor=4, full_matrix=True),
    "LoKr factor 8": AlgoSettings("lokr", 1024, 1.0, factor=8, full_matrix=True),
    "LoKr factor 16": AlgoSettings("lokr", 1024, 1.0, factor=16, full_matrix=True),
    "LoKr factor 16, r8": AlgoSettings("lokr", 8, 4.0, factor=16),
    "IA3": AlgoSettings("ia3", 1, 1.0, train_on_input=False),
    "IA3 on the input": AlgoSettings("ia3", 1, 1.0, train_on_input=True),
    "DyLoRA r16": AlgoSettings("dylora", 16, 8.0, block_size=4),
    "DoRA r16": AlgoSettings("lora", 16, 8.0, dora=True),
    "full": AlgoSettings("full", 1, 1.0),
    "Diag-OFT 8": AlgoSettings("diag-oft", 8, 1.0),
}


@dataclass(frozen=True)
class Shape:
    """A layer of the real models and its input."""

    name: str
    module: Callable[[], nn.Module]
    x: tuple[int, ...]


SHAPES = (
    Shape("Linear 1280, 1024 rows", lambda: nn.Linear(1280, 1280), (1, 1024, 1280)),
    Shape("Linear 320, 4096 rows", lambda: nn.Linear(320, 320), (1, 4096, 320)),
    Shape("Conv 3x3 640, 32x32", lambda: nn.Conv2d(640, 640, 3, padding=1), (1, 640, 32, 32)),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table for each shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds, after one untimed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--only", nargs="*", default=[], help="words of the cases to measure")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    device, dtype = torch.device(chosen.device), getattr(torch, chosen.dtype)
    print(f"torch {torch.__version__}, {chosen.threads} threads, {device}, {chosen.dtype}")
    for shape in SHAPES:
        print(f"\n{shape.name}\n\n| | bare | lycoris | ours | lycoris / ours | ours / bare | difference |")
        print("|---|---|---|---|---|---|---|")
        for name, settings in CASES.items():
            if chosen.only and not any(word in name for word in chosen.only):
                continue
            bare, theirs, ours, error = measure(shape, settings, (device, dtype), chosen.rounds)
            times = " | ".join(f"{seconds * 1e3:.2f} ms" for seconds in (bare, theirs, ours))
            print(
                f"| {name} | {times} | {theirs / ours:.2f}x | {ours / bare:.2f} | {error:.0e} |", flush=True
            )


def measure(
    shape: Shape, settings: AlgoSettings, place: tuple[torch.device, torch.dtype], rounds: int
) -> tuple[float, float, float, float]:
    """Median seconds bare, by lycoris and ours, and the largest relative difference of the latter two."""
    torch.manual_seed(0)
    module: Any = shape.module().to(*place).requires_grad_(False)
    layer = _layer(settings, module, place[0])
    x = torch.randn(shape.x).to(*place)
    direction = torch.randn(module(x).shape).to(*place)
    arms: tuple[Forward, ...] = (module, _lycoris_forward(layer), module)
    times: tuple[list[float], ...] = ([], [], [])
    results: list[list[Tensor]] = [[], [], []]
    for _ in range(rounds + 1):
        for index, forward in enumerate(arms):
            if index == 2:
                layer.attach()
            seconds, results[index] = _once(forward, x, direction, layer)
            times[index].append(seconds)
            layer.detach()
    error = max(
        float((a - b).abs().max() / (b.abs().max() + 1e-30))
        for a, b in zip(results[2], results[1], strict=True)
    )
    bare, theirs, ours = (statistics.median(seconds[1:]) for seconds in times)
    return bare, theirs, ours, error


def _layer(settings: AlgoSettings, module: nn.Module, device: torch.device) -> TrainableLayer:
    name = LayerName("unet", "mid_block.attentions.0.proj_in")
    (layer,) = build_network({name: Recipe(Target(name, module), settings)}, 0, device)
    for parameter in layer.parameters:
        parameter.data += 0.02 * torch.randn(parameter.shape).to(device)
    return layer


def _lycoris_forward(layer: TrainableLayer) -> Forward:
    """Its own, except where that is not this algorithm: `full` keeps its weight apart only before a run,
    and DyLoRA draws another block each time."""
    module = layer.module
    if layer.settings.algo == "full":

        def full(x: Tensor) -> Tensor:
            base = layer.target.module(x)
            return base + module.op(x, module.weight.to(x.dtype), module.bias.to(x.dtype), **module.kw_dict)

        return full
    if layer.settings.algo == "dylora":
        last = (module.block_count - 1) * module.block_size
        module.get_random_rank_weight = lambda: module.get_weight(last)
    return module.forward


def _once(
    forward: Forward, x: Tensor, direction: Tensor, layer: TrainableLayer
) -> tuple[float, list[Tensor]]:
    on_cpu = x.device.type == "cpu"
    now = time.process_time if on_cpu else time.perf_counter
    x = x.detach().requires_grad_(True)
    if not on_cpu:
        torch.cuda.synchronize()
    began = now()
    y = forward(x)
    y.backward(direction)
    if not on_cpu:
        torch.cuda.synchronize()
    seconds = now() - began
    found = [y.detach(), *(one.grad for one in (x, *layer.parameters) if one.grad is not None)]
    for parameter in layer.parameters:
        parameter.grad = None
    return seconds, found


if __name__ == "__main__":
    main()
