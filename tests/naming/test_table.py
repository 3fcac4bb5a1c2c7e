"""The tables against the models that they describe."""

from __future__ import annotations

import pytest

from lib_lyco.naming.layer import Component, Family, LayerName
from lib_lyco.naming.place import RowShare
from lib_lyco.naming.table import layer_table
from tests.naming import instantiated

FAMILIES: tuple[Family, ...] = ("sd1", "sd2", "sdxl", "sd3")


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


def test_sd3_table_equals_both_instantiated_transformers() -> None:
    medium = instantiated.weights(instantiated.mmdit(instantiated.SD3_MEDIUM))
    medium_35 = instantiated.weights(instantiated.mmdit(instantiated.SD35_MEDIUM))
    table = layer_table("sd3")
    ours = {layer.path: table.shape(layer) for layer in table.of("unet")}
    assert (len(medium), len(medium_35)) == (341, 515)
    assert {path: ours[path] for path in medium} == medium
    assert set(ours) == set(medium_35)
    # blocks with two attentions modulate both: nine vectors where SD3's six are
    other = {path for path in ours if ours[path] != medium_35[path]}
    assert other == {f"transformer_blocks.{block}.norm1.linear" for block in range(13)}


def test_t5_table_equals_the_instantiated_encoder() -> None:
    real = instantiated.weights(instantiated.t5())
    table = layer_table("sd3")
    ours = {layer.path: table.shape(layer) for layer in table.of("te3")}
    # newer transformers list the tied embedding a second time
    assert real.pop("encoder.embed_tokens", ours["shared"]) == ours["shared"]
    assert ours == real


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
