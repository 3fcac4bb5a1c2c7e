"""Ranks and alphas by layer and block, and blocks without adapters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lib_lyco.errors import ConfigError
from lib_lyco.naming.layer import LayerName
from lib_lyco.train.compose.network import make_network
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.layer import AlgoSettings
from lib_lyco.train.layer_choice import LayerChoice
from lib_lyco.train.sizes import Sizes, Sizing
from tests.train.test_layer_choice import real_targets
from tests.train.tiny import TinyModel

MakeConfig = Callable[..., TrainConfig]
Q = "attentions.{}.transformer_blocks.0.attn1.to_q"


def sizes(config: TrainConfig, model: TinyModel) -> dict[str, tuple[int, float]]:
    """Rank and alpha of each trained layer, as its tensors and scale show them."""
    return {
        layer.layer.path: (
            layer.module.lora_down.weight.shape[0],
            layer.module.scale * layer.module.lora_down.weight.shape[0],
        )
        for layer in make_network(config, model)
    }


def test_block_dims_and_alphas_are_the_blocks(make_config: MakeConfig, tiny: TinyModel) -> None:
    # by sd-scripts' numbers: 1 is down_blocks.0's first attention, 12 the middle, 24 the last attention
    dims = tuple(range(25))
    alphas = tuple(float(1 + n) for n in range(25))
    found = sizes(make_config(block_dims=dims, block_alphas=alphas), tiny)
    assert found[f"down_blocks.0.{Q.format(0)}"] == (1, pytest.approx(2.0))
    assert found[f"down_blocks.2.{Q.format(1)}"] == (8, pytest.approx(9.0))
    assert found[f"mid_block.{Q.format(0)}"] == (12, pytest.approx(13.0))
    assert found[f"up_blocks.3.{Q.format(2)}"] == (24, pytest.approx(25.0))
    assert found["text_model.encoder.layers.0.mlp.fc1"] == (4, pytest.approx(2.0))
    assert not any(".resnets." in path for path in found)


def test_blocks_of_rank_0_get_no_adapters(make_config: MakeConfig, tiny: TinyModel) -> None:
    dims = (4,) * 12 + (0,) + (4,) * 12
    whole, without = sizes(make_config(), tiny), sizes(make_config(block_dims=dims), tiny)
    assert set(whole) - set(without) == {path for path in whole if path.startswith("mid_block")}


def test_convolutions_have_ranks_of_their_own(make_config: MakeConfig, tiny: TinyModel) -> None:
    found = sizes(make_config(conv_rank=2, conv_alpha=1.0), tiny)
    assert found["down_blocks.0.resnets.0.conv1"] == (2, 1.0)
    assert found["down_blocks.0.resnets.0.time_emb_proj"] == (4, 2.0)
    by_block = sizes(make_config(conv_block_dims=(*range(1, 26),), conv_block_alphas=(0.5,) * 25), tiny)
    assert by_block["down_blocks.0.resnets.0.conv1"] == (2, 0.5)
    assert by_block["up_blocks.3.resnets.2.conv2"] == (25, pytest.approx(0.5))
    assert by_block["down_blocks.0.resnets.0.time_emb_proj"] == (4, 2.0)


def test_blocks_without_learning_rate_get_no_adapters(make_config: MakeConfig, tiny: TinyModel) -> None:
    # linear over 12: i / 11; up to 3 / 11 = 0.2727, inclusive, is 0: blocks 0 to 3
    config = make_config(down_lr_weight="linear", mid_lr_weight="0", blocks_lr_zero_threshold=3 / 11)
    lost = set(sizes(make_config(), tiny)) - set(sizes(config, tiny))
    assert lost
    assert all(path.startswith(("mid_block", "down_blocks.0")) for path in lost)
    assert {
        path for path in sizes(make_config(), tiny) if path.startswith(("mid_block", "down_blocks.0"))
    } == lost


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"block_dims": (4,) * 23}, "block_dims"),
        ({"block_alphas": (4.0,) * 24}, "block_alphas"),
        ({"conv_block_dims": (4,)}, "conv_block_dims"),
        ({"conv_block_alphas": (4.0,), "conv_rank": 4}, "conv_block_alphas"),
        ({"mid_lr_weight": "1,1"}, "mid_lr_weight"),
    ],
)
def test_another_number_of_blocks_is_an_error(
    make_config: MakeConfig, tiny: TinyModel, options: dict[str, Any], where: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_network(make_config(**options), tiny)
    assert caught.value.where == where


def test_sdxl_has_23_blocks() -> None:
    chosen = LayerChoice(["unet"]).choose(real_targets("sdxl"), "sdxl")
    sizing = Sizing(Sizes(4, 1.0, block_ranks=range(1, 24)), Sizes(0, 1.0))
    recipes = sizing.recipes(chosen, AlgoSettings("lora", 4, 1.0), "sdxl")
    path = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    assert recipes[LayerName("unet", path)].settings.rank == 12  # the middle's second layer, number 11
    with pytest.raises(ConfigError, match="23 for sdxl"):
        Sizing(Sizes(4, 1.0, block_ranks=(4,) * 25), Sizes(0, 1.0)).recipes(
            chosen, AlgoSettings("lora", 4, 1.0), "sdxl"
        )


def test_nothing_left_is_an_error(make_config: MakeConfig, tiny: TinyModel) -> None:
    config = make_config(block_dims=(0,) * 25, te_learning_rate=(0.0,))
    with pytest.raises(ConfigError, match="No layer is left"):
        make_network(config, tiny)
