"""The places against diffusers' own conversion of checkpoints, which nobody here wrote.

A checkpoint is made up with one small, distinct tensor at every place; what diffusers makes of it
must have each tensor under the canonical name of its layer.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lib_lyco.naming.layer import Component, Family, LayerName
from lib_lyco.naming.place import RowShare
from lib_lyco.naming.table import LayerTable, layer_table
from tests.naming import instantiated

UNET_FAMILIES: tuple[Family, ...] = ("sd1", "sd2", "sdxl")
WIDTH = 2


def conversions() -> Any:
    return pytest.importorskip(
        "diffusers.loaders.single_file_utils", reason="diffusers' conversion is the oracle"
    )


def made_up(table: LayerTable, component: Component) -> tuple[dict[LayerName, Tensor], dict[str, Tensor]]:
    """A distinct weight for every layer of a component, and the host's checkpoint that holds them."""
    layers: dict[LayerName, Tensor] = {}
    checkpoint: dict[str, Tensor] = {}
    for number, layer in enumerate(table.of(component)):
        place = table.host_place(layer)
        weight = number + torch.arange(WIDTH * WIDTH, dtype=torch.float64).reshape(WIDTH, WIDTH) / 8
        layers[layer] = weight
        key = f"{table.host_root(component)}.{place.parameter()}"
        if place.transposed:
            weight = weight.T
        if place.swapped_halves:
            weight = torch.cat(weight.chunk(2)[::-1])
        if place.rows is not None:
            fused = checkpoint.setdefault(
                key, torch.zeros(place.rows.count * WIDTH, WIDTH, dtype=torch.float64)
            )
            first, last = place.rows.range(len(fused))
            fused[first:last] = weight
        else:
            checkpoint[key] = weight
    return layers, checkpoint


def with_biases(checkpoint: dict[str, Tensor]) -> dict[str, Tensor]:
    """diffusers asks for the bias of some weights; norms of queries and keys have none."""
    biases = {
        key.removesuffix("weight") + "bias": value[:, 0]
        for key, value in checkpoint.items()
        if key.endswith(".weight")
    }
    return checkpoint | {key: value for key, value in biases.items() if ".ln_" not in key}


def assert_same(converted: dict[str, Tensor], layers: dict[LayerName, Tensor]) -> None:
    assert {key for key in converted if key.endswith(".weight")} == {
        f"{layer.path}.weight" for layer in layers
    }
    for layer, weight in layers.items():
        assert torch.equal(converted[f"{layer.path}.weight"], weight), layer


@pytest.mark.parametrize("family", UNET_FAMILIES)
def test_unet_places_are_those_diffusers_converts_from(family: Family) -> None:
    layers, checkpoint = made_up(layer_table(family), "unet")
    config = {"layers_per_block": 2, **instantiated.UNETS[family]}
    assert_same(conversions().convert_ldm_unet_checkpoint(with_biases(checkpoint), config), layers)


@pytest.mark.parametrize(("family", "component"), [("sd2", "te1"), ("sdxl", "te2")])
def test_open_clip_places_are_those_diffusers_converts_from(family: Family, component: Component) -> None:
    table = layer_table(family)
    layers, checkpoint = made_up(table, component)
    model = SimpleNamespace(config=SimpleNamespace(hidden_size=WIDTH))
    root = f"{table.host_root(component)}."
    assert_same(conversions().convert_open_clip_checkpoint(model, checkpoint, prefix=root), layers)


@pytest.mark.parametrize(
    ("family", "component"), [("sd1", "te1"), ("sdxl", "te1"), ("sd3", "te1"), ("sd3", "te2")]
)
def test_clip_places_are_those_diffusers_converts_from(family: Family, component: Component) -> None:
    table = layer_table(family)
    layers, checkpoint = made_up(table, component)
    root = f"{table.host_root(component)}."
    assert_same(conversions().convert_ldm_clip_checkpoint(checkpoint, remove_prefix=root), layers)


def test_sd3_places_are_those_diffusers_converts_from() -> None:
    table = layer_table("sd3")
    layers, checkpoint = made_up(table, "unet")
    checkpoint[f"{table.host_root('unet')}.pos_embed"] = torch.zeros(1)
    convert = conversions().convert_sd3_transformer_checkpoint_to_diffusers
    assert_same(convert(with_biases(checkpoint)), layers)


def test_t5_places_are_those_diffusers_converts_from() -> None:
    layers, checkpoint = made_up(layer_table("sd3"), "te3")
    assert_same(conversions().convert_sd3_t5_checkpoint_to_diffusers(checkpoint), layers)


def test_combined_rows_reach_every_row_of_the_layers_once() -> None:
    table = layer_table("sd3")
    assert len(table.combined) == 24 + 24 + 13 + 2
    for combined in table.combined.values():
        delta = torch.arange(6)
        taken = torch.cat([delta[slice(*share.delta_rows.range(6))] for share in combined.shares])
        assert torch.equal(taken, delta)
        targets = {(share.layer, share.rows) for share in combined.shares}
        assert len(targets) == len(combined.shares)
        assert all(share.layer in table for share in combined.shares)


def test_combined_modulation_swaps_halves_as_its_place_says() -> None:
    table = layer_table("sd3")
    shares = table.combined[LayerName("unet", "norm_out.shift_scale")].shares
    assert [(share.delta_rows, share.rows) for share in shares] == [
        (RowShare(0, 2), RowShare(1, 2)),
        (RowShare(1, 2), RowShare(0, 2)),
    ]
    assert table.host_place(shares[0].layer).swapped_halves
