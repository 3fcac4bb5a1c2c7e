"""Block numbers and weights, by hand from sd-scripts' get_block_index and get_block_lr_weight."""

from __future__ import annotations

import pytest

from lib_lyco.errors import ConfigError
from lib_lyco.naming.layer import Family, LayerName
from lib_lyco.naming.table import layer_table
from lib_lyco.train.blocks import BlockWeights, block_of, num_blocks

# what sd-scripts' `re.compile(r"(up|down)_blocks_(\d)_(resnets|upsamplers|downsamplers|attentions)_(\d)_")`
# and its sum of the groups give: 3i + j (samplers 3i + 2), + 1 for down, + 13 for up; mid is 12
SD1 = {
    "down_blocks.0.resnets.0.conv1": 1,
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q": 1,
    "down_blocks.0.attentions.1.proj_in": 2,
    "down_blocks.0.downsamplers.0.conv": 3,
    "down_blocks.1.attentions.0.proj_in": 4,
    "down_blocks.1.downsamplers.0.conv": 6,
    "down_blocks.2.attentions.1.proj_out": 8,
    "down_blocks.2.downsamplers.0.conv": 9,
    "down_blocks.3.resnets.0.conv1": 10,
    "down_blocks.3.resnets.1.conv2": 11,
    "mid_block.resnets.0.conv1": 12,
    "mid_block.attentions.0.proj_in": 12,
    "mid_block.resnets.1.conv2": 12,
    "up_blocks.0.resnets.0.conv1": 13,
    "up_blocks.0.resnets.2.conv1": 15,
    "up_blocks.0.upsamplers.0.conv": 15,
    "up_blocks.1.attentions.0.proj_in": 16,
    "up_blocks.2.upsamplers.0.conv": 21,
    "up_blocks.3.attentions.2.proj_out": 24,
    "conv_in": 0,
    "time_embedding.linear_1": 0,
    "conv_out": 24,
}
# by the names of Stability's model, which SDXL files use: input_blocks n is 1 + n, middle_block n is
# 10 + n, output_blocks n is 13 + n, time_embed and label_emb are 0, out is 22
SDXL = {
    "time_embedding.linear_1": 0,
    "add_embedding.linear_1": 0,
    "conv_in": 1,
    "down_blocks.0.resnets.1.conv1": 3,
    "down_blocks.1.attentions.0.proj_in": 5,
    "down_blocks.2.attentions.1.transformer_blocks.9.attn2.to_k": 9,
    "mid_block.resnets.0.conv1": 10,
    "mid_block.attentions.0.proj_in": 11,
    "mid_block.resnets.1.conv1": 12,
    "up_blocks.0.attentions.0.proj_in": 13,
    "up_blocks.0.upsamplers.0.conv": 15,
    "up_blocks.2.resnets.2.conv1": 21,
    "conv_out": 22,
}


@pytest.mark.parametrize(("family", "wanted"), [("sd1", SD1), ("sd2", SD1), ("sdxl", SDXL)])
def test_blocks_are_numbered_as_by_sd_scripts(family: Family, wanted: dict[str, int]) -> None:
    assert {path: block_of(LayerName("unet", path), family) for path in wanted} == wanted
    every = [block_of(layer, family) for layer in layer_table(family).of("unet")]
    assert set(every) == set(range(num_blocks(family)))
    text = next(iter(layer_table(family).of("te1")))
    assert block_of(text, family) is None


def test_blocks_of_another_family_are_an_error() -> None:
    with pytest.raises(ConfigError, match="SD1, SD2 and SDXL"):
        num_blocks("sd3")


def test_curves_rise_and_fall_as_published() -> None:
    # sin(pi i / 2 (n - 1)): 0 at the first block, 1 at the last; sin(30 degrees) would be at i = 11/3
    weights = BlockWeights(down="sine", up="cosine+0.5").by_block("sd1")
    assert len(weights) == 25
    assert weights[0] == 0
    assert weights[11] == pytest.approx(1.0)
    assert weights[1] == pytest.approx(0.142314838)  # sin(pi / 22)
    assert weights[12] == 1
    assert weights[13] == pytest.approx(1.5)
    assert weights[24] == pytest.approx(0.5)
    assert weights[23] == pytest.approx(0.642314838)
    linear = BlockWeights(down="linear", up="reverse_linear+1").by_block("sdxl")
    assert linear[1:10] == pytest.approx([n / 8 for n in range(9)])
    assert linear[13:22] == pytest.approx([2 - n / 8 for n in range(9)])
    assert (linear[0], linear[22], linear[10:13]) == (1, 1, (1, 1, 1))
    assert BlockWeights(down="zeros+0.3").by_block("sd1")[:12] == (0.3,) * 12


def test_blanks_are_zero_and_missing_ones_are_one() -> None:
    weights = BlockWeights(down="0.5,,2", mid="0.1").by_block("sd1")
    assert weights == (0.5, 0, 2, *(1,) * 9, 0.1, *(1,) * 12)
    assert BlockWeights(mid=",1").by_block("sdxl")[10:13] == (0, 1, 1)


def test_threshold_is_inclusive() -> None:
    weights = BlockWeights(down="0.1,0.100001,0.05", zero_threshold=0.1).by_block("sd1")
    assert weights[:3] == (0, 0.100001, 0)
    assert not BlockWeights(zero_threshold=0.1)


@pytest.mark.parametrize(
    ("weights", "where"),
    [
        (BlockWeights(down="sinus"), "down_lr_weight"),
        (BlockWeights(up="sine+x"), "up_lr_weight"),
        (BlockWeights(up="1,a"), "up_lr_weight"),
        (BlockWeights(mid="-1"), "mid_lr_weight"),
        (BlockWeights(mid="1,1"), "mid_lr_weight"),
        (BlockWeights(down="1," * 12 + "1"), "down_lr_weight"),
    ],
)
def test_weights_that_cannot_work_are_errors(weights: BlockWeights, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        weights.by_block("sd1")
    assert caught.value.where == where
