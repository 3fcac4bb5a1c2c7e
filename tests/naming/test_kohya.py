"""kohya's names and counts, recomputed by kohya's rule on the instantiated models.

The rule (sd-scripts `networks/lora.py`): inside every module of the target classes, every Linear
and 1x1 conv, with `conv_dim` also every 3x3 conv, is called prefix + path with underscores.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from torch import nn

from lib_lyco.naming.kohya import kohya_stem
from lib_lyco.naming.layer import Component, Family, LayerName
from lib_lyco.naming.resolve import resolve
from lib_lyco.naming.table import layer_table
from tests.dialects.sgm import sgm_path
from tests.dialects.spelling import flat, kohya
from tests.naming import instantiated

ATTENTION_BLOCKS = ("Transformer2DModel",)
CONV_BLOCKS = ("ResnetBlock2D", "Downsample2D", "Upsample2D")
TEXT_BLOCKS = ("CLIPAttention", "CLIPSdpaAttention", "CLIPMLP")


def targets(model: nn.Module, classes: tuple[str, ...]) -> Iterator[str]:
    for name, module in model.named_modules():
        if type(module).__name__ in classes:
            for child_name, child in module.named_modules():
                if type(child).__name__ in (
                    "Linear",
                    "LoRACompatibleLinear",
                    "Conv2d",
                    "LoRACompatibleConv",
                ):
                    yield f"{name}.{child_name}"


@pytest.mark.parametrize(
    ("family", "attention", "all_blocks"), [("sd1", 192, 278), ("sd2", 192, 278), ("sdxl", 722, 788)]
)
def test_kohyas_unet_modules_have_our_stems(family: Family, attention: int, all_blocks: int) -> None:
    unet = instantiated.unet(family)
    assert len(list(targets(unet, ATTENTION_BLOCKS))) == attention
    paths = list(targets(unet, ATTENTION_BLOCKS + CONV_BLOCKS))
    assert len(set(paths)) == all_blocks
    for path in paths:
        name = sgm_path(path, family) if family == "sdxl" else path
        assert kohya_stem(LayerName("unet", path), family) == f"lora_unet_{flat(name)}"


@pytest.mark.parametrize(
    ("family", "component", "prefix", "count"),
    [
        ("sd1", "te1", "lora_te", 72),
        ("sd2", "te1", "lora_te", 138),
        ("sdxl", "te1", "lora_te1", 72),
        ("sdxl", "te2", "lora_te2", 192),
    ],
)
def test_kohyas_text_encoder_modules_have_our_stems(
    family: Family, component: Component, prefix: str, count: int
) -> None:
    encoder = instantiated.text_encoder(family, component)
    paths = [instantiated.file_path(path, component) for path in targets(encoder, TEXT_BLOCKS)]
    assert len(paths) == count
    for path in paths:
        assert kohya_stem(LayerName(component, path), family) == f"{prefix}_{flat(path)}"


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_stem_of_every_layer_is_what_kohya_spells(family: Family) -> None:
    for layer in layer_table(family):
        assert kohya_stem(layer, family) == kohya(layer, family)


def test_stem_of_every_sd3_layer_comes_back() -> None:
    table = layer_table("sd3")
    stems = {layer: kohya_stem(layer, "sd3") for layer in (*table.layers, *table.combined)}
    assert len(set(stems.values())) == len(stems)
    assert all(resolve(stem, "sd3") == layer for layer, stem in stems.items())
    fused = LayerName("unet", "transformer_blocks.0.attn.to_qkv")
    assert stems[fused] == "lora_unet_joint_blocks_0_x_block_attn_qkv"


def test_layer_of_another_family_has_no_stem() -> None:
    with pytest.raises(KeyError):
        kohya_stem(LayerName("te2", "text_projection"), "sd1")
