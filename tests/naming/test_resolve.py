"""Stems that have misled others, and how fast two thousand are read."""

from __future__ import annotations

import time

import pytest

from lib_lyco.naming.kohya import kohya_stem
from lib_lyco.naming.layer import Component, Family, LayerName
from lib_lyco.naming.prefixes import FILE_PREFIXES
from lib_lyco.naming.resolve import flatten, resolve, spellings
from lib_lyco.naming.table import layer_table


@pytest.mark.parametrize(
    ("family", "stem", "component", "path"),
    [
        # the child number of the upsampler depends on whether its block has attention
        ("sdxl", "lora_unet_output_blocks_2_2_conv", "unet", "up_blocks.0.upsamplers.0.conv"),
        ("sdxl", "lora_unet_up_blocks_0_upsamplers_0_conv", "unet", "up_blocks.0.upsamplers.0.conv"),
        ("sd1", "diffusion_model.output_blocks.2.1.conv", "unet", "up_blocks.0.upsamplers.0.conv"),
        ("sdxl", "lora_unet_out_0", "unet", "conv_norm_out"),
        ("sdxl", "lora_unet_add_embedding_linear_2", "unet", "add_embedding.linear_2"),
        ("sdxl", "lora_unet_label_emb_0_2", "unet", "add_embedding.linear_2"),
        (
            "sd1",
            "lora_te1_text_model_encoder_layers_3_mlp_fc1",
            "te1",
            "text_model.encoder.layers.3.mlp.fc1",
        ),
        (
            "sdxl",
            "lora_te_text_model_encoder_layers_3_mlp_fc1",
            "te1",
            "text_model.encoder.layers.3.mlp.fc1",
        ),
        ("sdxl", "lora_te2_text_projection", "te2", "text_projection"),
        (
            "sd2",
            "lora_te_text_model_encoder_layers_22_mlp_fc1",
            "te1",
            "text_model.encoder.layers.22.mlp.fc1",
        ),
        ("sd1", "text_encoder.encoder.layers.3.mlp.fc1", "te1", "text_model.encoder.layers.3.mlp.fc1"),
        (
            "sd1",
            "cond_stage_model.transformer.text_model.final_layer_norm",
            "te1",
            "text_model.final_layer_norm",
        ),
        ("sdxl", "conditioner.embedders.1.model.ln_final", "te2", "text_model.final_layer_norm"),
        (
            "sd3",
            "lora_te3_encoder_block_1_layer_0_SelfAttention_q",
            "te3",
            "encoder.block.1.layer.0.SelfAttention.q",
        ),
        ("sd3", "lora_te3_encoder_embed_tokens", "te3", "shared"),
    ],
)
def test_stem_resolves(family: Family, stem: str, component: Component, path: str) -> None:
    assert resolve(stem, family) == LayerName(component, path)


@pytest.mark.parametrize(
    ("family", "stem"),
    [
        # what A1111 makes of SDXL's first upsampler, and LyCORIS of SD1's: no such module
        ("sdxl", "lora_unet_output_blocks_2_1_conv"),
        ("sd1", "lora_unet_output_blocks_2_2_conv"),
        ("sd1", "lora_te2_text_model_encoder_layers_0_mlp_fc1"),
        ("sd1", "lora_te_text_model_encoder_layers_12_mlp_fc1"),
        # in OneTrainer's Flux files te2 is T5
        ("sdxl", "lora_te2_encoder_block_0_layer_0_SelfAttention_q"),
        ("sd1", "lora_unet_"),
        ("sd1", ""),
        # q, k and v in one piece are three layers: nobody writes this, and no one of them is meant
        ("sdxl", "conditioner.embedders.1.model.transformer.resblocks.0.attn"),
    ],
)
def test_stem_that_no_layer_has_is_refused(family: Family, stem: str) -> None:
    assert resolve(stem, family) is None


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl", "sd3"])
def test_flattening_is_free_of_collisions(family: Family) -> None:
    table = layer_table(family)
    owners: dict[tuple[Component, str], LayerName] = {}
    for layer in (*table.layers, *table.combined):
        for path in spellings(layer, table):
            assert owners.setdefault((layer.component, flatten(path)), layer) == layer, path


def test_two_thousand_stems_take_less_than_twenty_milliseconds() -> None:
    stems = [kohya_stem(layer, "sdxl") for layer in layer_table("sdxl")]
    stems = (stems * 2)[:2000]
    assert resolve(stems[0], "sdxl") is not None
    seconds: list[float] = []
    for _ in range(5):
        start = time.perf_counter()
        for stem in stems:
            resolve(stem, "sdxl")
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.02


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl", "sd3"])
def test_no_prefix_begins_with_another(family: Family) -> None:
    roots = [f"{root}." for root in layer_table(family).host_roots.values()]
    prefixes = {*FILE_PREFIXES, *roots}
    assert not [(one, two) for one in prefixes for two in prefixes - {one} if two.startswith(one)]
