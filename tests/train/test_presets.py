"""Presets and layer filters: the layers lycoris chooses, and what it says of each."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import toml

from lib_lyco.errors import ConfigError
from lib_lyco.naming.kohya import kohya_stem
from lib_lyco.naming.layer import LayerName
from lib_lyco.train.layer import AlgoSettings
from lib_lyco.train.layer_choice import Chosen, LayerChoice
from lib_lyco.train.sizes import Sizes, Sizing
from tests.train.test_layer_choice import real_targets
from tests.train.tiny import TinyModel

kohya: Any = pytest.importorskip("lycoris.kohya")


@pytest.fixture
def clean() -> Iterator[None]:
    """Puts back what a preset leaves on LyCORIS' class for whoever comes next."""
    network = kohya.LycorisNetworkKohya
    before = {name: value for name, value in vars(network).items() if name.isupper()}
    yield
    for name, value in before.items():
        setattr(network, name, value)


def theirs(tiny: TinyModel, preset: str, **options: str) -> dict[str, str]:
    """What lycoris makes of a preset: name -> class of its module."""
    network = kohya.create_network(
        1.0, 4, 1.0, None, tiny.text, tiny.unet, preset=preset, **{"algo": "locon", **options}
    )
    modules = (*network.unet_loras, *network.text_encoder_loras)
    return {
        module.lora_name.replace("lora_te_text_model_", "lora_te_"): type(module).__name__
        for module in modules
    }


def ours(tiny: TinyModel, preset: str, **more: Any) -> dict[str, Chosen]:
    choice = LayerChoice(["unet", "te1"], preset=preset, **more)
    return {
        kohya_stem(layer, "sd1").replace("lora_te_text_model_", "lora_te_"): one
        for layer, one in choice.choose(tiny.targets(), "sd1").items()
    }


def cured(preset: str, folder: Path) -> str:
    """lycoris' preset as a file. Since 4.1 its classes name TimestepEmbedding, for a model that is none
    of Stable Diffusion's; there `full` makes the time embedding's layers twice and fails."""
    values = dict(kohya.PRESET[preset])
    values["unet_target_module"] = [
        one for one in values["unet_target_module"] if one != "TimestepEmbedding"
    ]
    path = folder / "cured.toml"
    path.write_text(toml.dumps(values), encoding="utf-8")
    return str(path)


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(
    "preset", ["full", "full-lin", "attn-mlp", "unet-only", "unet-transformer-only", "unet-convblock-only"]
)
def test_built_in_presets_choose_lycoris_layers(tiny: TinyModel, preset: str, tmp_path: Path) -> None:
    assert set(ours(tiny, preset)) == set(theirs(tiny, cured(preset, tmp_path)))


def test_attention_only_is_each_attentions_four_layers() -> None:
    # sd-scripts' class is CrossAttention; SD1 has 16 transformer blocks of two, 12 text layers of one
    chosen = LayerChoice(["unet", "te1"], preset="attn-only").choose(real_targets("sd1"), "sd1")
    counts = [layer.component for layer in chosen]
    assert (counts.count("unet"), counts.count("te1")) == (16 * 2 * 4, 12 * 4)
    assert all(".attn" in layer.path or ".self_attn." in layer.path for layer in chosen)


@pytest.mark.usefixtures("clean")
def test_norms_are_lycoris_norms(tiny: TinyModel, tmp_path: Path) -> None:
    modules = theirs(tiny, cured("unet-only", tmp_path), train_norm="True")
    norms = {name for name, kind in modules.items() if kind == "NormModule"}
    assert len(norms) > 100
    chosen = ours(tiny, "unet-only", train_norm=True)
    assert set(chosen) - set(ours(tiny, "unet-only")) == norms


FILE = """
enable_conv = false
use_fnmatch = true
unet_target_module = ["Transformer2DModel", "ResnetBlock2D"]
unet_target_name = ["time_embedding.*"]
text_encoder_target_module = ["CLIPMLP"]
text_encoder_target_name = []
exclude_name = ["*attentions.1*"]
[module_algo_map.FeedForward]
algo = "lokr"
factor = 4
[name_algo_map."time_embedding.linear_1"]
algo = "loha"
dim = 2
alpha = 1
"""
CLASSES = {"locon": "LoConModule", "loha": "LohaModule", "lokr": "LokrModule"}


@pytest.mark.usefixtures("clean")
def test_preset_file_means_what_it_means_to_lycoris(tiny: TinyModel, tmp_path: Path) -> None:
    path = tmp_path / "preset.toml"
    path.write_text(FILE, encoding="utf-8")
    wanted = theirs(tiny, str(path))
    if version("lycoris-lora").startswith("4.0"):
        # 4.0 asks exclude_name only of layers chosen by name, not of those in a module chosen by its class;
        # 4.1 of both. By hand: 6 transformers are an attentions.1, with 12 layers each
        excluded = {name for name in wanted if "attentions_1" in name}
        assert len(excluded) == 6 * 12
        wanted = {name: kind for name, kind in wanted.items() if name not in excluded}
    settings = AlgoSettings("locon", 8, 4.0)
    choice = LayerChoice(["unet", "te1"], preset=str(path))
    sizing = Sizing(Sizes(8, 4.0), Sizes(0, 1.0))
    recipes = sizing.recipes(choice.choose(tiny.targets(), "sd1"), settings, "sd1")
    found = {
        kohya_stem(layer, "sd1").replace("lora_te_text_model_", "lora_te_"): CLASSES[recipe.settings.algo]
        for layer, recipe in recipes.items()
    }
    assert found == wanted
    assert set(found.values()) == set(CLASSES.values())
    embedding = recipes[LayerName("unet", "time_embedding.linear_1")].settings
    assert (embedding.rank, embedding.alpha) == (2, 1.0)
    feed_forward = recipes[
        LayerName("unet", "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2")
    ].settings
    assert (feed_forward.factor, feed_forward.rank) == (4, 8)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"enable_cnv": True}, "enable_cnv"),
        ({"enable_conv": "true"}, "enable_conv"),
        ({"unet_target_name": "conv_in"}, "unet_target_name"),
        ({"module_algo_map": {"FeedForward": {"algo": "lorka"}}}, "FeedForward.algo"),
        ({"module_algo_map": {"FeedForward": {"algo": "loha", "factor": 4}}}, "factor"),
        ({"module_algo_map": {"FeedForward": {"dim": "8"}}}, "FeedForward.dim"),
        ({"name_algo_map": {"conv_in": {"rankk": 8}}}, "rankk"),
        ({"unet_target_name": ["conv_inn"]}, "preset"),
        ({"exclude_name": ["("]}, "preset"),
    ],
)
def test_mistakes_in_a_preset_are_errors(
    tiny: TinyModel, tmp_path: Path, change: dict[str, Any], where: str
) -> None:
    path = tmp_path / "preset.toml"
    path.write_text(toml.dumps(change), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        ours(tiny, str(path))
    assert where in caught.value.where


def test_preset_that_is_no_file_is_an_error(tiny: TinyModel) -> None:
    with pytest.raises(ConfigError, match="full-lin"):
        ours(tiny, "fulll")


def test_filters_search_both_names() -> None:
    targets = real_targets("sdxl")
    every = set(LayerChoice(["unet"]).choose(targets, "sdxl"))
    down = set(LayerChoice(["unet"], include=("down_blocks",)).choose(targets, "sdxl"))
    by_stability = set(LayerChoice(["unet"], include=(r"unet\.input_blocks\.",)).choose(targets, "sdxl"))
    assert down == by_stability == {layer for layer in every if layer.path.startswith("down_blocks")}
    left = set(
        LayerChoice(["unet"], include=("down_blocks",), exclude=(r"attn2", "ff")).choose(targets, "sdxl")
    )
    assert left == {layer for layer in down if "attn2" not in layer.path and ".ff." not in layer.path}
    assert 0 < len(left) < len(down)
    with pytest.raises(ConfigError, match="means no layer") as caught:
        LayerChoice(["unet"], exclude=("down_block_",)).choose(targets, "sdxl")
    assert caught.value.where == "exclude_layers"
