"""Stems of every dialect to layers."""

from __future__ import annotations

import pytest

from lib_lyco.naming.key import split_key
from lib_lyco.naming.kohya import kohya_stem
from lib_lyco.naming.layer import Component, Family, LayerName
from lib_lyco.naming.resolve import resolve
from lib_lyco.naming.table import layer_table

FAMILIES: tuple[Family, ...] = ("sd1", "sd2", "sdxl")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_comes_back_from_its_kohya_stem(family: Family) -> None:
    for layer in layer_table(family):
        assert resolve(kohya_stem(layer, family), family) == layer


@pytest.mark.parametrize(
    ("family", "key", "component", "path", "part"),
    [
        (
            "sdxl",
            "lora_unet_output_blocks_2_2_conv.lora_up.weight",
            "unet",
            "up_blocks.0.upsamplers.0.conv",
            "lora_up.weight",
        ),
        (
            "sdxl",
            "lora_unet_up_blocks_0_upsamplers_0_conv.alpha",
            "unet",
            "up_blocks.0.upsamplers.0.conv",
            "alpha",
        ),
        (
            "sd1",
            "lora_te1_text_model_encoder_layers_3_mlp_fc1.hada_w1_a",
            "te1",
            "text_model.encoder.layers.3.mlp.fc1",
            "hada_w1_a",
        ),
    ],
)
def test_key_of_a_real_file_resolves(
    family: Family, key: str, component: Component, path: str, part: str
) -> None:
    split = split_key(key)
    assert split is not None
    assert split.part == part
    assert resolve(split.stem, family) == LayerName(component, path)
