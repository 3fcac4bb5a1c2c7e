"""Blocks of layers against the places that the names of blocks count."""

from __future__ import annotations

from collections import Counter

import pytest

from lib_lyco.naming.blocks import BASE, block_names, block_of
from lib_lyco.naming.detect import FAMILIES
from lib_lyco.naming.layer import Family, LayerName
from lib_lyco.naming.table import layer_table


@pytest.mark.parametrize(("family", "count"), [("sd1", 26), ("sd2", 26), ("sdxl", 20), ("sd3", 27)])
def test_blocks_are_named_and_none_is_empty(family: Family, count: int) -> None:
    names = block_names(family)
    found = {block_of(layer, family) for layer in layer_table(family)}
    assert len(names) == count == len(set(names))
    assert found == set(names)


@pytest.mark.parametrize(
    ("family", "path", "block"),
    [
        # sd-webui-lora-block-weight: IN01, IN02, IN04, IN05, IN07, IN08 and OUT03..OUT11 have attention
        ("sd1", "down_blocks.0.attentions.0.proj_in", "IN01"),
        ("sd1", "down_blocks.2.attentions.1.proj_in", "IN08"),
        ("sd1", "down_blocks.1.downsamplers.0.conv", "IN06"),
        ("sd1", "mid_block.resnets.1.conv1", "MID"),
        ("sd1", "up_blocks.0.upsamplers.0.conv", "OUT02"),
        ("sd1", "up_blocks.1.attentions.0.proj_in", "OUT03"),
        ("sd1", "up_blocks.3.attentions.2.proj_in", "OUT11"),
        ("sd1", "conv_in", "IN00"),
        ("sd1", "time_embedding.linear_2", "IN00"),
        ("sd1", "conv_norm_out", "OUT11"),
        ("sd2", "conv_out", "OUT11"),
        ("sdxl", "down_blocks.1.attentions.0.proj_in", "IN04"),
        ("sdxl", "up_blocks.1.attentions.2.proj_in", "OUT05"),
        ("sdxl", "add_embedding.linear_1", "IN00"),
        ("sdxl", "conv_out", "OUT08"),
        ("sd3", "transformer_blocks.7.attn.to_q", "JOINT07"),
        ("sd3", "transformer_blocks.7.attn.to_qkv", "JOINT07"),
        ("sd3", "context_embedder", "IN"),
        ("sd3", "norm_out.shift_scale", "OUT"),
    ],
)
def test_layer_is_in_its_block(family: Family, path: str, block: str) -> None:
    assert block_of(LayerName("unet", path), family) == block


@pytest.mark.parametrize("family", FAMILIES)
def test_text_encoders_are_the_base(family: Family) -> None:
    table = layer_table(family)
    counts = Counter(block_of(layer, family) for layer in table)
    assert counts[BASE] == sum(layer.component != "unet" for layer in table)


def test_layer_of_another_family_has_no_block() -> None:
    with pytest.raises(KeyError):
        block_of(LayerName("unet", "up_blocks.3.resnets.0.conv1"), "sdxl")
