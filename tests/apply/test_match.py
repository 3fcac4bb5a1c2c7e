"""Every adapter finds its place, or a reason."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

from lib_lyco.algos.hints import Hints
from lib_lyco.algos.registry import decode
from lib_lyco.apply.match import Match, count_adapters, match_network
from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Wanted
from lib_lyco.models.target import Target, Targets
from lib_lyco.network.network import Network
from tests.apply.small import (
    RANK,
    SmallModel,
    adapter_of,
    name,
    network_of,
    parts_of,
    random_network,
    snapshot,
    targets_of,
)


def reason_for(path: str, algo: str, shape: tuple[int, ...], component: str = "unet") -> str:
    """Why one adapter does not go onto the small model."""
    layer = name(path, component)  # type: ignore[arg-type]
    match = match_network(network_of("n", {layer: adapter_of(algo, shape)}), targets_of(SmallModel()))
    assert match.pairs == ()
    (unmatched,) = match.unmatched
    assert unmatched.layer == layer
    return unmatched.reason


def test_all_layers_of_a_fitting_network_match() -> None:
    targets = targets_of(SmallModel())
    network = random_network(targets, ("lora", "loha", "lokr", "ia3", "oft"), seed=0)
    match = match_network(network, targets)
    assert match.unmatched == ()
    assert {pair.target.layer for pair in match.pairs} == set(targets)
    assert count_adapters(network.adapters) == {"unet": 6, "te1": 4}


def test_every_adapter_is_matched_or_explained() -> None:
    targets = targets_of(SmallModel())
    network = random_network(targets, ("lora",), seed=0)
    adapters = dict(network.adapters)
    adapters[name("linear")] = adapter_of("lora", (16, 25))
    adapters[name("no_such")] = adapter_of("lora", (16, 24))
    adapters[name("q_proj", "te2")] = adapter_of("lora", (24, 24))
    match = match_network(network_of("n", adapters), targets)
    assert len({pair.target.layer for pair in match.pairs}) + len(match.unmatched) == len(adapters)
    assert [str(item.layer) for item in match.unmatched] == ["unet:linear", "unet:no_such", "te2:q_proj"]


def test_reason_names_what_is_missing() -> None:
    assert reason_for("q_proj", "lora", (24, 24), "te2") == "the model has no te2"
    assert reason_for("other", "lora", (24, 24)) == "the model has no such layer"
    assert "16x25" in reason_for("linear", "lora", (16, 25))
    assert "16x24" in reason_for("linear", "lora", (16, 25))


def test_adapter_of_values_whose_sum_overflows_is_matched() -> None:
    parts = parts_of("lora", (16, 24), torch.Generator().manual_seed(0))
    parts["lora_up.weight"].fill_(3e38)
    network = network_of("n", {name("linear"): decode(parts, Hints()).adapter})
    assert match_network(network, targets_of(SmallModel())).unmatched == ()


def test_network_of_more_channels_than_the_model_is_a_misfit() -> None:
    layer = name("conv_in")
    targets = {layer: (Target(layer, nn.Conv2d(4, 16, 3)),)}
    match = match_network(network_of("n", {layer: adapter_of("lora", (16, 9, 3, 3))}), targets)
    assert "16x4x3x3" in match.unmatched[0].reason


def test_only_the_first_layer_is_padded() -> None:
    layer = name("conv_out")
    targets = {layer: (Target(layer, nn.Conv2d(9, 16, 3)),)}
    match = match_network(network_of("n", {layer: adapter_of("lora", (16, 4, 3, 3))}), targets)
    assert len(match.unmatched) == 1


def test_quantised_weight_is_a_reason() -> None:
    linear = nn.Linear(24, 16)
    linear.weight = nn.Parameter(torch.zeros(16, 24, dtype=torch.uint8), requires_grad=False)
    layer = name("linear")
    match = match_network(
        network_of("n", {layer: adapter_of("lora", (16, 24))}), {layer: (Target(layer, linear),)}
    )
    assert "torch.uint8" in match.unmatched[0].reason


def test_module_without_the_parameter_is_a_reason() -> None:
    layer = name("linear")
    targets = {layer: (Target(layer, nn.Identity()),)}
    match = match_network(network_of("n", {layer: adapter_of("lora", (16, 24))}), targets)
    assert match.unmatched[0].reason == "Identity has no parameter named weight"


def test_fused_adapter_needs_all_parts() -> None:
    layer = name("qkv")
    places = tuple(
        Target(layer, nn.Linear(24, 8), delta_rows=(8 * index, 8 * index + 8)) for index in (0, 2)
    )
    match = match_network(network_of("n", {layer: adapter_of("lora", (24, 24))}), {layer: places})
    assert match.unmatched[0].reason == "it is fused, and the model lacks a part of it"


def test_weight_on_the_meta_device_is_reported_and_left_alone() -> None:
    model = SmallModel()
    model.linear.to("meta")
    network = network_of("n", {name(path): adapter_of("lora", (16, 24)) for path in ("linear", "bare")})
    report = Session(targets_of(model)).apply([Wanted(network)])
    assert [str(count) for count in report.counts] == ["n: applied 1 of 2 unet layers"]
    (problem,) = report.problems
    assert problem.layer == name("linear")
    assert "meta" in problem.reason


def test_bias_without_a_place_is_reported() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(8))

    layer = name("scale")
    network = network_of("n", {layer: adapter_of("norm", (8,))})
    report = Session({layer: (Target(layer, Scale()),)}).apply([Wanted(network)])
    assert [problem.reason for problem in report.problems] == ["Scale has no place for a bias"]
    assert str(report.counts[0]) == "n: applied 0 of 1 unet layers"


def test_rank_limit_keeps_the_first_ranks() -> None:
    model = SmallModel()
    before = snapshot(model)
    parts = parts_of("lora", (16, 24), torch.Generator().manual_seed(0))
    network = network_of("n", {name("linear"): decode(parts, Hints()).adapter})
    Session(targets_of(model)).apply([Wanted(network, rank=1)])
    product = parts["lora_up.weight"][:, :1] @ parts["lora_down.weight"][:1]
    expected = before["linear.weight"] + product * (1.5 / RANK)
    torch.testing.assert_close(model.linear.weight.detach(), expected)


def test_a_network_is_matched_once_and_let_go_with_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    model = SmallModel()
    networks = [random_network(targets_of(model), ("lora",), seed) for seed in range(2)]
    matched: list[str] = []

    def spy(network: Network, targets: Targets, rank: int | None) -> Match:
        matched.append(network.name)
        return match_network(network, targets, rank)

    monkeypatch.setattr("lib_lyco.apply.session.match_network", spy)
    session = Session(targets_of(model))
    for index in (0, 1, 0, 1):
        session.apply([Wanted(networks[index])])
    session.apply([Wanted(networks[0], rank=1)])
    assert matched == ["network0", "network1", "network0"]
    tensor = weakref.ref(next(iter(next(iter(networks[1].adapters.values())).tensors().values())))
    assert tensor() is not None
    del networks[1]
    session.apply([Wanted(networks[0])])
    gc.collect()
    assert tensor() is None, "the session keeps no network that nobody else keeps"
