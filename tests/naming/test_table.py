"""The tables against the models that they describe."""

from __future__ import annotations

import pytest

from lib_lyco.naming.layer import Component, Family, LayerName
from lib_lyco.naming.place import RowShare
from lib_lyco.naming.table import layer_table
from tests.naming import instantiated

FAMILIES: tuple[Family, ...] = ("sd1", "sd2", "sdxl")


@pytest.mark.parametrize(("family", "count"), [("sd1", 391), ("sd2", 391), ("sdxl", 1050)])
def test_unet_table_equals_the_instantiated_unet(family: Family, count: int) -> None:
    real = instantiated.weights(instantiated.unet(family))
    table = layer_table(family)
    ours = {layer.path: table.shape(layer) for layer in table.of("unet")}
    assert len(real) == count
    assert ours == real


@pytest.mark.parametrize(("family", "component"), list(instantiated.TEXT_ENCODERS))
def test_text_encoder_table_equals_the_instantiated_encoder(family: Family, component: Component) -> None:
    real = instantiated.weights(instantiated.text_encoder(family, component))
    table = layer_table(family)
    ours = {layer.path: table.shape(layer) for layer in table.of(component)}
    assert ours == {instantiated.file_path(path, component): shape for path, shape in real.items()}


@pytest.mark.parametrize(("family", "count"), [("sd1", 391), ("sd2", 391), ("sdxl", 1050)])
def test_unet_layer_count_is_the_published_one(family: Family, count: int) -> None:
    assert len(layer_table(family).of("unet")) == count


@pytest.mark.parametrize("family", FAMILIES)
def test_no_two_layers_share_a_place(family: Family) -> None:
    table = layer_table(family)
    places = [
        (layer.component, table.host_place(layer).parameter(), table.host_place(layer).rows)
        for layer in table
    ]
    assert len(set(places)) == len(table)


def test_open_clip_attention_is_cut_into_thirds() -> None:
    table = layer_table("sdxl")
    place = table.host_place(LayerName("te2", "text_model.encoder.layers.31.self_attn.k_proj"))
    assert place.parameter() == "transformer.resblocks.31.attn.in_proj_weight"
    assert place.parameter("bias") == "transformer.resblocks.31.attn.in_proj_bias"
    assert place.rows == RowShare(1, 3)


def test_row_share_scales_with_the_width() -> None:
    assert RowShare(1, 3).range(3 * 1280) == (1280, 2560)
    assert RowShare(2, 3).range(3 * 64) == (128, 192)


def test_text_projection_is_transposed_in_open_clip_only() -> None:
    place = layer_table("sdxl").host_place(LayerName("te2", "text_projection"))
    assert (place.parameter(), place.transposed) == ("text_projection", True)
    assert [x for x in layer_table("sdxl") if layer_table("sdxl").host_place(x).transposed] == [
        LayerName("te2", "text_projection")
    ]
