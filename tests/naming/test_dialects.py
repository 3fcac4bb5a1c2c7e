"""Every layer through every dialect and back."""

from __future__ import annotations

import pytest

from lib_lyco.naming.key import split_key
from lib_lyco.naming.layer import Family, LayerName
from lib_lyco.naming.resolve import resolve
from lib_lyco.naming.table import layer_table
from tests.dialects.spelling import DIALECTS, Dialect

CASES = [
    pytest.param(dialect, family, id=f"{dialect.name}-{family}")
    for dialect in DIALECTS
    for family in dialect.families
]


@pytest.mark.parametrize(("dialect", "family"), CASES)
def test_every_layer_comes_back_from_the_dialect(dialect: Dialect, family: Family) -> None:
    part, canonical = next(iter(dialect.parts.items()))
    num_written = 0
    for layer in layer_table(family):
        stem = dialect.spell(layer, family)
        if stem is not None:
            num_written += 1
            split = split_key(f"{stem}.{part}")
            assert split is not None, stem
            assert (resolve(split.stem, family), split.part) == (layer, canonical), stem
    assert num_written > 0


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_every_part_of_the_dialect_is_split(dialect: Dialect) -> None:
    family = dialect.families[0]
    layers = [layer for layer in layer_table(family) if dialect.spell(layer, family) is not None]
    for layer in (layers[0], layers[-1]):
        for part, canonical in dialect.parts.items():
            split = split_key(f"{dialect.spell(layer, family)}.{part}")
            assert split is not None, part
            assert (resolve(split.stem, family), split.part) == (layer, canonical), part


@pytest.mark.parametrize(("dialect", "family"), CASES)
def test_no_two_layers_share_a_spelling(dialect: Dialect, family: Family) -> None:
    stems = [stem for layer in layer_table(family) if (stem := dialect.spell(layer, family)) is not None]
    assert len(set(stems)) == len(stems)


def test_kohya_sd3_names_are_fused() -> None:
    table = layer_table("sd3")
    stem = "lora_unet_joint_blocks_5_context_block_attn_qkv"
    fused = LayerName("unet", "transformer_blocks.5.attn.to_added_qkv")
    assert resolve(stem, "sd3") == fused
    parts = [share.layer.path for share in table.combined[fused].shares]
    assert parts == [f"transformer_blocks.5.attn.add_{letter}_proj" for letter in "qkv"]


@pytest.mark.parametrize(
    ("stem", "path"),
    [
        ("lora_unet_joint_blocks_0_x_block_attn_qkv", "transformer_blocks.0.attn.to_qkv"),
        ("lora_unet_joint_blocks_12_x_block_attn2_qkv", "transformer_blocks.12.attn2.to_qkv"),
        ("lora_unet_joint_blocks_22_context_block_attn_proj", "transformer_blocks.22.attn.to_add_out"),
        ("lora_unet_joint_blocks_7_x_block_mlp_fc1", "transformer_blocks.7.ff.net.0.proj"),
        ("lora_unet_joint_blocks_7_context_block_mlp_fc2", "transformer_blocks.7.ff_context.net.2"),
        (
            "lora_unet_joint_blocks_7_context_block_adaLN_modulation_1",
            "transformer_blocks.7.norm1_context.linear",
        ),
        # shift and scale change places between the two layouts: not the same layer's rows
        (
            "lora_unet_joint_blocks_23_context_block_adaLN_modulation_1",
            "transformer_blocks.23.norm1_context.shift_scale",
        ),
        ("lora_unet_final_layer_adaLN_modulation_1", "norm_out.shift_scale"),
        ("lora_unet_final_layer_linear", "proj_out"),
        ("lora_unet_x_embedder_proj", "pos_embed.proj"),
        ("lora_unet_y_embedder_mlp_0", "time_text_embed.text_embedder.linear_1"),
        # OneTrainer's older ORIGINAL numbers the thirds
        ("transformer.joint_blocks.3.x_block.attn.qkv.1", "transformer_blocks.3.attn.to_k"),
    ],
)
def test_sai_name_of_sd3_resolves(stem: str, path: str) -> None:
    assert resolve(stem, "sd3") == LayerName("unet", path)
