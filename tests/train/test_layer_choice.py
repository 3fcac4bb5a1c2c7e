"""Which layers are trained: the counts are those of sd-scripts on the real models."""

from __future__ import annotations

import pytest
from torch import nn

from lib_lyco.errors import ConfigError, ModelError
from lib_lyco.models.target import Target, Targets
from lib_lyco.naming.layer import Component, Family, LayerName
from lib_lyco.naming.table import layer_table
from lib_lyco.train.layer_choice import LayerChoice

UNET: tuple[Component, ...] = ("unet",)
TEXT: tuple[Component, ...] = ("te1", "te2")


def small_module(path: str, shape: tuple[int, ...]) -> nn.Module:
    if len(shape) == 4:
        return nn.Conv2d(1, 1, shape[2])
    return nn.Linear(1, 1) if len(shape) == 2 and "embedding." not in path else nn.LayerNorm(1)


def real_targets(family: Family) -> Targets:
    """Every layer of a family by its real name and kind, at width 1."""
    table = layer_table(family)
    found: dict[LayerName, tuple[Target, ...]] = {}
    for layer in table:
        found[layer] = (Target(layer, small_module(layer.path, table.shape(layer))),)
    return found


@pytest.mark.parametrize(
    ("family", "attention", "with_conv", "text"),
    [("sd1", 192, 278, 72), ("sd2", 192, 278, 138), ("sdxl", 722, 788, 264)],
)
def test_layer_counts_are_sd_scripts(family: Family, attention: int, with_conv: int, text: int) -> None:
    targets = real_targets(family)
    assert len(LayerChoice(UNET).choose(targets, family)) == attention
    assert len(LayerChoice(UNET, conv=True).choose(targets, family)) == with_conv
    assert len(LayerChoice(TEXT).choose(targets, family)) == text


def test_ia3_takes_keys_values_and_second_mlp_layers() -> None:
    # SD1: 16 transformer blocks with two attentions, 12 text layers
    targets = real_targets("sd1")
    chosen = LayerChoice((*UNET, *TEXT), preset="ia3").choose(targets, "sd1")
    ends = [layer.path.rsplit(".", 1)[1] for layer in chosen]
    assert {end: ends.count(end) for end in set(ends)} == {
        "to_k": 32,
        "to_v": 32,
        "2": 16,
        "k_proj": 12,
        "v_proj": 12,
        "fc2": 12,
    }


def test_nothing_to_train_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no layer"):
        LayerChoice(["te3"]).choose(real_targets("sd1"), "sd1")


def test_fused_layer_is_an_error_and_not_trained_wrongly() -> None:
    layer = LayerName("te1", "text_model.encoder.layers.0.self_attn.q_proj")
    fused: Targets = {layer: (Target(layer, nn.Linear(4, 12), rows=(0, 4)),)}
    with pytest.raises(ModelError, match="fused"):
        LayerChoice(["te1"]).choose(fused, "sd1")
