"""Adding in forward does what merging does, and can do it by row."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Multiplier, Wanted
from lib_lyco.errors import LycoError
from lib_lyco.models.target import Target, Targets
from tests.apply.small import (
    ADDITIVE,
    OTHERS,
    SmallModel,
    adapter_of,
    assert_same_weights,
    attributes,
    inputs,
    name,
    network_of,
    random_network,
    snapshot,
    targets_of,
)


def outputs(model: SmallModel) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return model(*inputs())


def assert_close(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


def only_unet(targets: Targets) -> Targets:
    return {layer: places for layer, places in targets.items() if layer.component == "unet"}


@pytest.mark.parametrize("algo", ADDITIVE)
def test_bypass_equals_merge(algo: str) -> None:
    model = SmallModel()
    targets = only_unet(targets_of(model))
    before, weights = outputs(model), snapshot(model)
    wanted = [Wanted(random_network(targets, (algo,), seed=0), unet=0.7)]
    with Session(targets) as session:
        session.apply(wanted)
        merged = outputs(model)
        report = session.apply(wanted, "bypass")
        assert_same_weights(model, weights)
        assert report.backup_bytes == 0
        bypassed = outputs(model)
    assert_close(bypassed, merged)
    for base, changed in zip(before[:4], merged[:4], strict=True):
        assert (base - changed).abs().max() > 1e-2, "a network without effect proves nothing"


def test_bypass_of_mixed_networks_equals_merge() -> None:
    model = SmallModel()
    targets = targets_of(model)
    wanted = [
        Wanted(random_network(targets, (*ADDITIVE, *OTHERS), seed), te=0.3 * seed, unet=1 - 0.4 * seed)
        for seed in range(4)
    ]
    with Session(targets) as session:
        session.apply(wanted)
        merged = outputs(model)
        session.apply(wanted, "bypass")
        bypassed = outputs(model)
    assert_close(bypassed, merged)


def test_several_products_on_one_layer_add_up() -> None:
    model = SmallModel()
    targets = targets_of(model)
    networks = [
        network_of(str(seed), {name("down"): adapter_of("lora", (16, 8, 3, 3), seed)}) for seed in range(3)
    ]
    with Session(targets) as session:
        session.apply([Wanted(network, unet=0.5) for network in networks])
        merged = outputs(model)
        session.apply([Wanted(network, unet=0.5) for network in networks], "bypass")
        assert_close(outputs(model), merged)


@pytest.mark.parametrize("mode", ("circular", "zeros"))
@pytest.mark.parametrize("groups", (1, 4))
@pytest.mark.parametrize("algo", ("lora", "full"))
def test_bypass_follows_the_convolutions_own_settings(
    algo: str, groups: int, mode: Literal["circular", "zeros"]
) -> None:
    conv = nn.Conv2d(8, 16, 3, stride=2, padding=1, dilation=2, groups=groups)
    conv.padding_mode = mode  # set afterwards, as the seamless-tiling option of WebUIs does
    layer = name("conv")
    wanted = [Wanted(network_of("n", {layer: adapter_of(algo, conv.weight.shape)}))]
    x = torch.randn(2, 8, 11, 11, generator=torch.Generator().manual_seed(0))
    with Session({layer: (Target(layer, conv),)}) as session:
        session.apply(wanted)
        merged = conv(x)
        session.apply(wanted, "bypass")
        torch.testing.assert_close(conv(x), merged, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("algo", (*ADDITIVE, "mixed"))
def test_multiplier_by_row_is_that_multiplier_for_the_row_alone(algo: str) -> None:
    model = SmallModel()
    targets = only_unet(targets_of(model))
    algos = ADDITIVE if algo == "mixed" else (algo,)
    networks = [random_network(targets, algos, seed) for seed in (0, 1)]
    rows = [torch.tensor([0.0, 1.0, -0.5, 0.3]), torch.tensor([1.0, 0.0, 0.0, 2.0])]
    with Session(targets) as session:
        session.apply([Wanted(n, unet=row) for n, row in zip(networks, rows, strict=True)], "bypass")
        by_row = outputs(model)
        for index in range(4):
            alone = [Wanted(n, unet=float(row[index])) for n, row in zip(networks, rows, strict=True)]
            session.apply(alone)
            expected = tuple(output[index] for output in outputs(model))
            assert_close(tuple(output[index] for output in by_row), expected)


def test_another_multiplier_touches_no_hook() -> None:
    model = SmallModel()
    targets = only_unet(targets_of(model))
    network = random_network(targets, ("lora",), seed=0)
    multipliers: list[Multiplier] = [0.5, 1.5, torch.tensor([1.0, 0.0, 0.5, 2.0]), torch.ones(4), -1.0]
    with Session(targets) as session:
        session.apply([Wanted(network)], "bypass")
        for multiplier in multipliers:
            report = session.apply([Wanted(network, unet=multiplier)], "bypass")
            assert report.touched == 0
            found = outputs(model)
            with Session(targets_of(fresh := SmallModel())) as other:
                other.apply([Wanted(network, unet=multiplier)], "bypass")
                assert_close(found, outputs(fresh))


def test_another_network_touches_only_its_layers() -> None:
    model = SmallModel()
    targets = targets_of(model)
    one = network_of("one", {name("linear"): adapter_of("lora", (16, 24), 0)})
    two = network_of("two", {name("bare"): adapter_of("lora", (16, 24), 1)})
    session = Session(targets)
    assert session.apply([Wanted(one)], "bypass").touched == 1
    assert session.apply([Wanted(one), Wanted(two)], "bypass").touched == 1
    assert session.apply([Wanted(two)], "bypass").touched == 1
    assert session.apply([], "bypass").touched == 1


def test_strengths_for_another_batch_are_an_error() -> None:
    model = SmallModel()
    network = random_network(only_unet(targets_of(model)), ("lora",), seed=0)
    with Session(targets_of(model)) as session:
        session.apply([Wanted(network, unet=torch.ones(3))], "bypass")
        with pytest.raises(LycoError, match="3 strengths for 4 rows"):
            outputs(model)


def test_strengths_by_row_cannot_be_merged() -> None:
    model = SmallModel()
    before, weights = attributes(model), snapshot(model)
    targets = targets_of(model)
    with pytest.raises(LycoError, match="one strength for the whole batch"):
        Session(targets).apply([Wanted(random_network(targets, ("lora",), 0), unet=torch.ones(4))])
    assert attributes(model) == before
    assert_same_weights(model, weights)


def test_what_only_merges_is_reported_when_strengths_go_by_row() -> None:
    model = SmallModel()
    network = network_of(
        "n", {name("linear"): adapter_of("ia3", (16, 24)), name("bare"): adapter_of("lora", (16, 24))}
    )
    report = Session(targets_of(model)).apply([Wanted(network, unet=torch.ones(4))], "bypass")
    assert [problem.layer for problem in report.problems] == [name("linear")]
    assert "differ by image" in report.problems[0].reason


def test_attention_projection_that_is_never_called_is_merged() -> None:
    model = SmallModel()
    before = outputs(model)
    network = network_of("n", {name("out_proj", "te1"): adapter_of("lora", (24, 24))})
    with Session(targets_of(model)) as session:
        report = session.apply([Wanted(network)], "bypass")
        assert report.backup_bytes == 24 * 24 * 4
        assert not torch.allclose(outputs(model)[4], before[4], atol=1e-3)


def test_bypass_leaves_nothing_behind() -> None:
    model = SmallModel()
    before, weights, base = attributes(model), snapshot(model), outputs(model)
    targets = targets_of(model)
    session = Session(targets)
    session.apply(
        [Wanted(random_network(targets, (*ADDITIVE, *OTHERS), seed)) for seed in (0, 1)], "bypass"
    )
    outputs(model)
    assert attributes(model) != before
    session.restore()
    assert attributes(model) == before
    assert_same_weights(model, weights)
    assert all(torch.equal(one, other) for one, other in zip(outputs(model), base, strict=True))


def test_bypass_works_in_half_and_under_autocast() -> None:
    model = SmallModel()
    network = random_network(only_unet(targets_of(model)), ("lora", "lokr", "full"), seed=0)
    with Session(targets_of(model)) as session, torch.no_grad():
        session.apply([Wanted(network)])
        exact = outputs(model)
        session.apply([Wanted(network)], "bypass")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = outputs(model)
        session.restore()
        model.to(torch.bfloat16)
        session.apply([Wanted(network)], "bypass")
        half = model(*(tensor.to(torch.bfloat16) for tensor in inputs()))
    for one, other in ((mixed, exact), (half, exact)):
        for found, expected in zip(one, other, strict=True):
            assert (found.float() - expected).norm() <= 0.03 * expected.norm()


def test_gradients_flow_through_a_bypass() -> None:
    model = SmallModel()
    network = network_of("n", {name("linear"): adapter_of("lora", (16, 24))})
    x = torch.randn(2, 24)
    grads: list[Tensor] = []
    with Session(targets_of(model)) as session:
        for mode in ("merge", "bypass"):
            session.apply([Wanted(network)], mode)  # type: ignore[arg-type]
            leaf = x.clone().requires_grad_()
            model.linear(leaf).square().sum().backward()
            assert leaf.grad is not None
            grads.append(leaf.grad)
    torch.testing.assert_close(grads[0], grads[1], atol=1e-4, rtol=1e-4)
