"""Block weights on layers with real names: a factor for each, by the tables of the WebUI."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lib_lyco.apply.blocks import LayerFactors
from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Mode, Wanted
from lib_lyco.models.target import Target, Targets
from lib_lyco.naming.layer import LayerName
from lib_lyco.prompt.block_weights import BlockWeights, ElementRule
from tests.apply.small import adapter_of, network_of

TO_Q = "transformer_blocks.0.attn1.to_q"
TO_K = "transformer_blocks.0.attn2.to_k"
LAYERS = {
    # canonical name -> factor, worked out by hand: SD1's first attention is input_blocks.1, its last
    # output_blocks.11
    LayerName("te1", "text_model.encoder.layers.0.self_attn.q_proj"): 0.5,  # BASE
    LayerName("unet", f"down_blocks.0.attentions.0.{TO_Q}"): -1.0,  # IN01
    LayerName("unet", f"down_blocks.2.attentions.1.{TO_Q}"): 0.0,  # IN08, not named
    LayerName("unet", f"mid_block.attentions.0.{TO_Q}"): 0.25,  # MID
    LayerName("unet", f"mid_block.attentions.0.{TO_K}"): 0.75,  # the element's
    LayerName("unet", f"up_blocks.3.attentions.2.{TO_Q}"): 2.0,  # OUT11
}
WEIGHTS = BlockWeights(
    (("BASE", 0.5), ("IN01", -1.0), ("MID", 0.25), ("OUT11", 2.0)),
    (ElementRule(frozenset({"MID"}), ("attn2",), 0.75),),
)
FACTORS = LayerFactors(WEIGHTS, "sd1")


def linears() -> tuple[dict[LayerName, nn.Linear], Targets]:
    modules = {layer: nn.Linear(24, 16) for layer in LAYERS}
    return modules, {layer: (Target(layer, module),) for layer, module in modules.items()}


@pytest.mark.parametrize("varies", (False, True))
@pytest.mark.parametrize("mode", ("merge", "bypass"))
def test_each_layer_has_the_strength_times_its_weight(mode: Mode, varies: bool) -> None:
    modules, targets = linears()
    before = {layer: module.weight.detach().clone() for layer, module in modules.items()}
    network = network_of("n", {layer: adapter_of("lora", (16, 24), n) for n, layer in enumerate(LAYERS)})
    x = torch.randn(3, 24)
    report = Session(targets).apply([Wanted(network, 0.8, 0.4, factors=FACTORS, varies=varies)], mode)
    assert sum(count.applied for count in report.counts) == len(LAYERS)
    for layer, factor in LAYERS.items():
        strength = (0.8 if layer.component == "te1" else 0.4) * factor
        weight = before[layer] + strength * network.adapters[layer].delta(before[layer])
        expected = nn.functional.linear(x, weight, modules[layer].bias)
        torch.testing.assert_close(modules[layer](x), expected)
    untouched = modules[LayerName("unet", f"down_blocks.2.attentions.1.{TO_Q}")]
    assert torch.equal(untouched.weight, before[LayerName("unet", f"down_blocks.2.attentions.1.{TO_Q}")])
    assert not untouched._forward_hooks  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("mode", ("merge", "bypass"))
def test_one_network_with_and_without_factors_adds_up_in_any_order(mode: Mode) -> None:
    network = network_of("n", {layer: adapter_of("lora", (16, 24), n) for n, layer in enumerate(LAYERS)})
    wanted = [Wanted(network, 0.3, 0.3), Wanted(network, 0.8, 0.4, factors=FACTORS)]
    modules, targets = linears()
    before = {layer: module.weight.detach().clone() for layer, module in modules.items()}
    session = Session(targets)
    found: list[dict[LayerName, Tensor]] = []
    x = torch.randn(3, 24)
    for order in (wanted, wanted[::-1]):
        session.restore()
        session.apply(order, mode)
        found.append({layer: module(x) for layer, module in modules.items()})
    for layer, factor in LAYERS.items():
        strength = 0.3 + (0.8 if layer.component == "te1" else 0.4) * factor
        weight = before[layer] + strength * network.adapters[layer].delta(before[layer])
        expected = nn.functional.linear(x, weight, modules[layer].bias)
        torch.testing.assert_close(found[0][layer], expected)
        assert torch.equal(found[0][layer], found[1][layer])


def test_other_factors_touch_only_the_layers_whose_factor_changes() -> None:
    modules, targets = linears()
    network = network_of("n", {layer: adapter_of("lora", (16, 24)) for layer in LAYERS})
    session = Session(targets)
    session.apply([Wanted(network, factors=FACTORS)])
    other = BlockWeights((*WEIGHTS.weights[:3], ("OUT11", -0.5)), WEIGHTS.elements)
    places = {layer: module.weight.data_ptr() for layer, module in modules.items()}
    assert session.apply([Wanted(network, factors=LayerFactors(other, "sd1"))]).touched == 1
    session.apply([Wanted(network, factors=FACTORS)])
    assert {layer: module.weight.data_ptr() for layer, module in modules.items()} == places
