"""Networks per model: only the model in use carries any, and a model's end is theirs."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lib_lyco.demo.madeup import network_metadata, network_tensors, small_plan, write_checkpoint
from lib_lyco.host.sessions import Sessions
from lib_lyco.network.decode import decode_network
from lib_lyco.network.network import Network
from lib_lyco.prompt.tags import parse_prompt
from tests.host_unit.trees import tree

REQUESTS = parse_prompt("<lora:made-up:0.7>").requests
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> Network:
    plan = small_plan("sd1")
    return decode_network(network_tensors(plan), network_metadata(plan), "made-up", "id")


@pytest.fixture
def models(tmp_path: Path) -> list[nn.Module]:
    paths = (write_checkpoint(tmp_path / f"{seed}.safetensors", "sd1", seed=seed) for seed in (1, 2))
    return [tree(load_file(path)) for path in paths]


def bits(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def equal(model: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


def make_sessions(network: Network, budget: int = 0) -> Sessions:
    return Sessions(lambda name: network, lambda: budget, lambda: CPU)


def test_a_model_that_is_left_is_restored(models: list[nn.Module], network: Network) -> None:
    sessions = make_sessions(network)
    first, second = models
    before = bits(first)
    sessions.enter(first).begin(REQUESTS)
    assert not equal(first, before)
    sessions.enter(second)
    assert equal(first, before)


def test_weights_loaded_into_a_model_are_its_originals(models: list[nn.Module], network: Network) -> None:
    sessions = make_sessions(network)
    model, other = models
    missing = "model.diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight"
    kept = bits(model)[missing]
    sessions.enter(model).begin(REQUESTS)
    loaded = {name: value for name, value in bits(other).items() if name != missing}
    model.load_state_dict(loaded, strict=False)
    sessions.renew(model)
    assert all(torch.equal(model.get_parameter(name), value) for name, value in loaded.items())
    assert torch.equal(model.get_parameter(missing), kept)


def test_a_model_that_is_gone_leaves_nothing(models: list[nn.Module], network: Network) -> None:
    sessions = make_sessions(network, budget=1 << 30)
    sessions.enter(models[0]).begin(REQUESTS)
    sessions.enter(models[1])
    layer = weakref.ref(models[0].get_submodule("model.diffusion_model.input_blocks.0.0"))
    models.pop(0)
    gc.collect()
    assert layer() is None


def test_another_budget_counts_at_once(models: list[nn.Module], network: Network) -> None:
    budget = [0]
    sessions = Sessions(lambda name: network, lambda: budget[0], lambda: CPU)
    model = models[0]
    before = bits(model)
    sessions.enter(model).begin(REQUESTS)
    budget[0] = 1 << 30
    assert sessions.enter(model).begin(()).report.parked_bytes == 0
    assert equal(model, before)
    sessions.enter(model).begin(REQUESTS)
    assert sessions.enter(model).begin(()).report.parked_bytes > 0


def test_forgetting_restores(models: list[nn.Module], network: Network) -> None:
    sessions = make_sessions(network)
    before = bits(models[0])
    sessions.enter(models[0]).begin(REQUESTS)
    sessions.forget()
    assert equal(models[0], before)
