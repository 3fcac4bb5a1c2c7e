"""Weights as they are without networks, read while networks are merged into them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Wanted
from lib_lyco.models.target import Target
from tests.apply.small import SmallModel, adapter_of, name, network_of, targets_of


@pytest.mark.parametrize("is_merged", (False, True))
def test_the_originals_can_be_read_whatever_is_merged(is_merged: bool) -> None:
    model = SmallModel()
    wide, holder = nn.Linear(24, 8), nn.Module()
    holder.text_projection = nn.Parameter(torch.randn(5, 24))
    halves = [nn.Linear(24, 8), nn.Linear(24, 8)]
    fused = [Target(name("kv"), part, delta_rows=(8 * n, 8 * n + 8)) for n, part in enumerate(halves)]
    targets = {
        **targets_of(model),
        name("wide"): (Target(name("wide"), wide, swapped_halves=True),),
        name("out", "te1"): (Target(name("out", "te1"), holder, "text_projection", transposed=True),),
        name("kv"): tuple(fused[::-1]),
    }
    expected = {
        name("linear"): model.linear.weight,
        name("down"): model.down.weight,
        name("k_proj", "te1"): model.attention.in_proj_weight[24:48],
        name("wide"): torch.cat([wide.weight[4:], wide.weight[:4]]),
        name("out", "te1"): holder.text_projection.T,
        name("kv"): torch.cat([part.weight for part in halves]),
    }
    expected = {layer: weight.detach().clone() for layer, weight in expected.items()}
    session = Session(targets)
    adapters = {layer: adapter_of("lora", weight.shape) for layer, weight in expected.items()}
    if is_merged:
        assert session.apply([Wanted(network_of("n", adapters))]).problems == ()
    for layer, weight in expected.items():
        original = session.original(layer)
        assert original is not None and torch.equal(original, weight), layer
    assert session.original(name("nowhere")) is None
    assert torch.equal(model.linear.weight, expected[name("linear")]) != is_merged
