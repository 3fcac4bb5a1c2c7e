"""Expected memory beside what torch and the optimisers keep."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional

from lib_lyco.demo import embedded
from lib_lyco.demo.madeup import write_checkpoint
from lib_lyco.models.base import TextStyle
from lib_lyco.models.checkpoint import open_checkpoint
from lib_lyco.models.diffusers_model import DiffusersModel
from lib_lyco.models.hollow import hollow_model
from lib_lyco.models.load import load_model
from lib_lyco.train.compose.network import make_network
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.train.forecast.memory import (
    LargestBatch,
    Reading,
    activation_bytes,
    base_bytes,
    components,
    state_bytes,
)
from lib_lyco.train.forecast.weightless import Weightless

CLASSES = [
    ("torch.optim", name)
    for name in ("AdamW", "SGD", "Adam", "RAdam", "NAdam", "Adamax", "Adagrad", "RMSprop")
] + [
    ("lion_pytorch", "Lion"),
    ("prodigyopt", "Prodigy"),
    ("schedulefree", "AdamWScheduleFree"),
    ("schedulefree", "RAdamScheduleFree"),
    ("schedulefree", "SGDScheduleFree"),
]
BATCH = LargestBatch(128, 192, 2, ("a cat", "a dog"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("model") / "small.safetensors", "sd1", 32)


@pytest.mark.parametrize(("module", "name"), CLASSES)
def test_optimisers_keep_what_is_told(module: str, name: str) -> None:
    made: Any = getattr(pytest.importorskip(module), name)
    parameter = nn.Parameter(torch.ones(64, 64))
    options: dict[str, Any] = {"momentum": 0.9} if name == "SGD" else {}
    optimiser = made([parameter], lr=1e-3, **options)
    if hasattr(optimiser, "train"):
        optimiser.train()
    parameter.grad = torch.ones(64, 64)
    optimiser.step()
    kept = sum(
        value.nbytes
        for value in optimiser.state[parameter].values()
        if isinstance(value, torch.Tensor) and value.numel() == parameter.numel()
    )
    assert state_bytes(optimiser, parameter.numel(), 4) == kept


def test_state_of_an_unknown_optimiser_is_unknown() -> None:
    class Other(torch.optim.SGD):
        pass

    assert state_bytes(Other([nn.Parameter(torch.ones(1))], lr=1.0), 1, 4) is None


def test_base_model_takes_what_its_parameters_take(small: Path) -> None:
    hollow, loaded = (
        hollow_model(open_checkpoint(small), torch.bfloat16),
        load_model(small, dtype=torch.bfloat16),
    )
    parameters = [one for module in (*components(loaded), loaded.vae) for one in module.parameters()]
    assert base_bytes(hollow, [hollow.vae], fp8=False) == sum(one.nbytes for one in parameters)
    # products are nearly all of the UNet and the text encoder; embeddings stay
    whole, compact = (base_bytes(hollow, [], fp8=fp8) for fp8 in (False, True))
    products = sum(
        part.weight.numel()
        for module in components(loaded)
        for part in module.modules()
        if isinstance(part, nn.Linear | nn.Conv2d)
    )
    assert whole - compact == products


def kept_by_torch(model: DiffusersModel, config: TrainConfig, learning: bool) -> int:
    """What a real forward pass keeps, each memory once, weights of the base model apart."""
    for module in components(model):
        module.requires_grad_(False)
    found = {one.untyped_storage().data_ptr() for m in components(model) for one in m.parameters()}
    held: list[torch.Tensor] = []
    total = 0

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal total
        if (place := tensor.untyped_storage().data_ptr()) not in found:
            found.add(place)
            held.append(tensor)
            total += tensor.untyped_storage().nbytes()
        return tensor

    with make_network(config, model), saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.set_grad_enabled(learning):
            cond = model.encode_prompts(BATCH.captions)
        noisy = torch.randn(BATCH.size, 4, BATCH.height // 8, BATCH.width // 8)
        output = model.predict(noisy, torch.zeros(BATCH.size, dtype=torch.long), cond)
        functional.mse_loss(output, noisy)
    return total


@pytest.mark.parametrize(
    "options", [{}, {"algo": "loha", "te_learning_rate": [0.0]}, {"algo": "ia3"}], ids=str
)
def test_activations_are_those_that_torch_keeps(small: Path, options: dict[str, Any]) -> None:
    config = make_config({"rank": 4} | options)
    learning = "te_learning_rate" not in options
    hollow = hollow_model(open_checkpoint(small))
    with Weightless():
        network = make_network(config, hollow)
    reading = Reading(1, TextStyle(), learning)
    told = activation_bytes(hollow, network, BATCH, reading, checkpointing=False)
    kept = kept_by_torch(load_model(small), config, learning)
    # the CPU's attention keeps a little more than its inputs and its result
    assert told == pytest.approx(kept, rel=0.1)
    less = activation_bytes(hollow, network, BATCH, reading, checkpointing=True)
    assert less < told / 2


STEP = """
import sys, torch
from torch.nn import functional
from lib_lyco.models.load import load_model
from lib_lyco.train.compose.network import make_network
from lib_lyco.train.config import make_config
from lib_lyco.train.prepare import prepared

def memory(field):
    # resource.getrusage would tell the peak of the process that started this one, where that was higher
    lines = dict(line.split(":") for line in open("/proc/self/status"))
    return int(lines[field].split()[0]) * 1024

def step(side):
    cond = model.encode_prompts(["a cat"] * 4)
    noisy = torch.randn(4, 4, side, side)
    functional.mse_loss(model.predict(noisy, torch.zeros(4, dtype=torch.long), cond), noisy).backward()

model = load_model(sys.argv[1])
with prepared(model, sys.argv[3] == "True"), make_network(make_config({"rank": 4}), model):
    step(8)
    before = memory("VmRSS")
    step(int(sys.argv[2]))
    print(memory("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the memory in use")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_peak_of_a_real_step_is_within_half_as_much_again(checkpointing: bool) -> None:
    command = [sys.executable, "-c", STEP, str(embedded.checkpoint()), "32", str(checkpointing)]
    # each tensor has pages of its own, which it gives back: no holes of the heap are measured
    alone = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 16)}
    measured = int(subprocess.check_output(command, timeout=600, env=alone))
    hollow = hollow_model(open_checkpoint(embedded.checkpoint()))
    config = make_config({"rank": 4})
    with Weightless():
        network = make_network(config, hollow)
    batch = LargestBatch(256, 256, 4, ("a cat",) * 4)
    told = activation_bytes(hollow, network, batch, Reading(1, TextStyle(), True), checkpointing)
    assert told / 1.5 < measured < told * 1.5
