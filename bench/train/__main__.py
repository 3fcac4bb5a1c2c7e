"""Measures training steps on a made-up full-size SD1.5, ours beside lycoris' own forward.

    python -m bench.train --size 256 --steps 3 --algos lora loha

Both train the same lycoris modules on the same base model in the same process, in turn: ours through
`lib_lyco.train` (a hook adds op(x, delta)), lycoris' through its `apply_to`, which computes
base(x) + op(x, (W + delta) - W). One step is forward, backward and AdamW at batch 1. The clock counts
CPU seconds on the CPU, so that other programs do not disturb it, and wall seconds on a GPU.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from lib_lyco.demo.madeup import write_checkpoint
from lib_lyco.models.base import BaseModel
from lib_lyco.models.load import load_model
from lib_lyco.train.layer import AlgoSettings
from lib_lyco.train.layer_choice import LayerChoice
from lib_lyco.train.network import Recipe, TrainableNetwork, build_network
from lib_lyco.train.objective import Batch, Objective, diffusion_loss
from lib_lyco.train.prepare import prepared
from lib_lyco.train.seed import derived_generator

Step = Callable[[int], float]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one line per algorithm: median seconds of a step, ours and lycoris', and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="pixels of a side")
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each, after one untimed")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--width", type=int, default=None, help="narrow the model, to try the script out")
    parser.add_argument("--algos", nargs="+", default=["lora", "loha", "lokr"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sd15.safetensors"
        write_checkpoint(path, "sd1", width=chosen.width)
        model = load_model(path, torch.device(chosen.device), torch.float32)
    print(f"torch {torch.__version__}, {chosen.threads} threads, {chosen.size} px, rank {chosen.rank}")
    with prepared(model, gradient_checkpointing=False):
        for algo in chosen.algos:
            ours, theirs = measure(model, AlgoSettings(algo, chosen.rank, 8.0), chosen.size, chosen.steps)
            print(
                f"{algo:8} ours {ours:7.3f} s/step   lycoris {theirs:7.3f} s/step   {theirs / ours:.2f} x"
            )


def measure(model: BaseModel, settings: AlgoSettings, size: int, num_steps: int) -> tuple[float, float]:
    """Median seconds of a step, ours and lycoris'; their steps alternate and so see the same load."""
    chosen = LayerChoice(["unet"]).choose(model.targets(), model.family)
    recipes = {layer: Recipe(one.target, settings) for layer, one in chosen.items()}
    ours, theirs = (build_network(recipes, 0, model.device) for _ in range(2))
    step_ours, step_theirs = (stepper(model, network, size) for network in (ours, theirs))
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(num_steps + 1):
        with ours:
            times[0].append(step_ours(number))
        for layer in theirs:
            layer.module.apply_to()
        times[1].append(step_theirs(number))
        for layer in theirs:
            layer.module.restore()
    return statistics.median(times[0][1:]), statistics.median(times[1][1:])


def stepper(model: BaseModel, network: TrainableNetwork, size: int) -> Step:
    """One optimiser update of a network that is on the model; returns its seconds."""
    parameters: list[nn.Parameter] = [parameter for layer in network for parameter in layer.parameters]
    optimiser = torch.optim.AdamW(parameters, lr=1e-4)
    with torch.no_grad():
        cond = model.encode_prompts(["a photo of a cat"])
    latents = torch.randn(1, 4, size // 8, size // 8, generator=derived_generator("bench"))
    batch = Batch(latents.to(model.device), cond, None, torch.ones(1, device=model.device))

    now = time.process_time if model.device.type == "cpu" else time.perf_counter

    def step(number: int) -> float:
        began = now()
        loss = diffusion_loss(Objective(), model, batch, [derived_generator("noise", number)])
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        float(loss.detach())  # waits for a GPU
        return now() - began

    return step


if __name__ == "__main__":
    main()
