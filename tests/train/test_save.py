"""Saved files: reloaded equal, never half-written, named and labelled as kohya's."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from lib_lyco.errors import FileError, TrainingError
from lib_lyco.naming.kohya import kohya_stem
from lib_lyco.network.load import load_network
from lib_lyco.train.compose.network import make_network
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.export import compare, export_tensors
from lib_lyco.train.layer import AlgoSettings
from lib_lyco.train.layer_choice import LayerChoice
from lib_lyco.train.network import Recipe, TrainableNetwork, build_network
from lib_lyco.train.save import Saver
from tests.train.test_network import SETTINGS
from tests.train.tiny import TinyModel

METADATA = {"ss_base_model_version": "sd_v1", "ss_v2": "False"}


def trained_network(model: TinyModel, settings: AlgoSettings, conv: bool = True) -> TrainableNetwork:
    """A network whose parameters are all off their initial values."""
    choice = LayerChoice(["unet", "te1"], conv=conv, preset="ia3" if settings.algo == "ia3" else "")
    chosen = choice.choose(model.targets(), "sd1")
    recipes = {layer: Recipe(one.target, settings) for layer, one in chosen.items()}
    network = build_network(recipes, 1, torch.device("cpu"))
    scatter(network)
    return network


def saver(folder: Path, network: TrainableNetwork, dtype: torch.dtype = torch.float32) -> Saver:
    return Saver(
        folder, "net", network, "sd1", dtype, lambda step, epoch: METADATA | {"ss_steps": str(step)}
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("settings", SETTINGS)
def test_reloaded_file_changes_every_layer_as_training_did(
    settings: str, dtype: torch.dtype, tiny: TinyModel, tmp_path: Path
) -> None:
    network = trained_network(tiny, SETTINGS[settings])
    path = saver(tmp_path, network, dtype).save("", 3, 1)
    reloaded = load_network(path)
    assert set(reloaded.adapters) == {layer.layer for layer in network}
    assert not reloaded.unknown
    worst = 0.0
    for layer in network:
        adapter, weight = reloaded.adapters[layer.layer], layer.weight.detach()
        scale = layer.delta().abs().max() + (0 if adapter.additive else weight.abs().max())
        worst = max(worst, float((adapter.delta(weight) - layer.delta()).abs().max() / scale))
    assert worst < {torch.float32: 2e-6, torch.float16: 5e-3, torch.bfloat16: 4e-2}[dtype]


def test_low_rank_file_is_right_for_a_reader_who_knows_only_lora(tiny: TinyModel, tmp_path: Path) -> None:
    for name in ("lora", "lora rs", "dylora"):
        network = trained_network(tiny, SETTINGS[name])
        tensors = load_file(saver(tmp_path, network).save("", 1, 1))
        for layer in network:
            stem = kohya_stem(layer.layer, "sd1")
            up, down = tensors[f"{stem}.lora_up.weight"], tensors[f"{stem}.lora_down.weight"]
            assert up.dim() == down.dim() == layer.weight.dim()
            delta = up.flatten(1) @ down.flatten(1) * tensors[f"{stem}.alpha"] / down.shape[0]
            torch.testing.assert_close(delta.view(layer.weight.shape), layer.delta(), rtol=1e-4, atol=1e-5)


def test_scalars_and_ranks_of_each_layer_are_in_the_factors(
    make_config: Callable[..., TrainConfig], tiny: TinyModel, tmp_path: Path
) -> None:
    config = make_config(use_scalar=True, block_dims=tuple(1 + n % 3 for n in range(25)), conv_rank=2)
    network = make_network(config, tiny)
    scatter(network)
    tensors = load_file(saver(tmp_path, network).save("", 1, 1))
    ranks: set[int] = set()
    for layer in network:
        stem = kohya_stem(layer.layer, "sd1")
        up, down, alpha = (
            tensors.pop(f"{stem}.{part}") for part in ("lora_up.weight", "lora_down.weight", "alpha")
        )
        ranks.add(len(down))
        delta = up.flatten(1) @ down.flatten(1) * alpha / len(down)
        wanted = layer.module.lora_up.weight.flatten(1) @ layer.module.lora_down.weight.flatten(1)
        wanted = wanted * layer.module.scalar * 2.0 / len(down)
        torch.testing.assert_close(delta, wanted, rtol=1e-4, atol=1e-6)
    assert not tensors
    assert ranks == {1, 2, 3, 4}


def test_norms_are_stored_as_differences(
    make_config: Callable[..., TrainConfig], tiny: TinyModel, tmp_path: Path
) -> None:
    network = make_network(make_config(preset="unet-only", train_norm=True, conv_rank=2), tiny)
    scatter(network)
    tensors = load_file(saver(tmp_path, network).save("", 1, 1))
    norms = [layer for layer in network if layer.settings.algo == "norm"]
    assert len(norms) == 16 * 4 + 22 * 2  # SD1: 16 transformers of 4 norms, 22 resnets of 2
    for layer in norms[:8]:
        stem = kohya_stem(layer.layer, "sd1")
        module: Any = layer.target.module
        # the WebUI's network_norm.py: W + w_norm, b + b_norm, and both have to be there
        plain = copy.deepcopy(module)
        with torch.no_grad():
            plain.weight += tensors[f"{stem}.w_norm"]
            plain.bias += tensors[f"{stem}.b_norm"]
        shape = (
            (2, module.num_channels, 3, 3)
            if isinstance(module, nn.GroupNorm)
            else (2, *module.normalized_shape)
        )
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        layer.attach()
        torch.testing.assert_close(module(x), plain(x), rtol=1e-4, atol=1e-5)
        layer.detach()


def scatter(network: TrainableNetwork) -> None:
    """Moves every parameter off its initial value."""
    chance = torch.Generator().manual_seed(1)
    for layer in network:
        for parameter in layer.parameters:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=chance)


def test_keys_are_lycoris_own_for_the_same_layers(tiny: TinyModel) -> None:
    kohya: Any = pytest.importorskip("lycoris.kohya")
    theirs = kohya.create_network(1.0, 4, 2.0, None, tiny.text, tiny.unet, preset="attn-mlp", algo="lora")
    names = {module.lora_name for module in (*theirs.unet_loras, *theirs.text_encoder_loras)}
    ours = export_tensors(trained_network(tiny, SETTINGS["lora"], conv=False), "sd1", torch.float32)
    # lycoris takes the module's path as this transformers has it; files have `text_model` in it
    has_it = any(name == "text_model" for name, _ in tiny.text.named_children())
    prefix = "lora_te_" if has_it else "lora_te_text_model_"
    expected = {name.replace("lora_te_", prefix, 1) for name in names}
    # its presets are class attributes: attn-mlp leaves the default's time embedding in
    leaked = {"lora_unet_time_embedding_linear_1", "lora_unet_time_embedding_linear_2"}
    assert {key.split(".")[0] for key in ours} == expected - leaked


def test_wrong_file_is_noticed(tiny: TinyModel, tmp_path: Path) -> None:
    network = trained_network(tiny, SETTINGS["lora"])
    reloaded = load_network(saver(tmp_path, network).save("", 1, 1))
    compare(network, reloaded, torch.float32)
    missing = dict(list(reloaded.adapters.items())[1:])
    with pytest.raises(TrainingError, match="missing"):
        compare(network, dataclasses.replace(reloaded, adapters=missing), torch.float32)
    network.layers[5].module.lora_up.weight.data[0, 0] += 1e-3
    with pytest.raises(TrainingError, match=str(network.layers[5].layer)):
        compare(network, reloaded, torch.float32)


def test_nan_weights_are_never_written_over_a_good_file(tiny: TinyModel, tmp_path: Path) -> None:
    network = trained_network(tiny, SETTINGS["lora"])
    path = saver(tmp_path, network).save("", 1, 1)
    good = path.read_bytes()
    network.layers[0].module.lora_up.weight.data[0, 0] = float("nan")
    with pytest.raises(TrainingError):
        saver(tmp_path, network).save("", 2, 1)
    assert path.read_bytes() == good
    assert os.listdir(tmp_path) == [path.name]


def test_full_disk_is_an_error_and_keeps_the_old_file(
    tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = trained_network(tiny, SETTINGS["lora"])
    path = saver(tmp_path, network).save("", 1, 1)
    good = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match="No space left"):
        saver(tmp_path, network).save("", 2, 1)
    assert path.read_bytes() == good
    assert os.listdir(tmp_path) == [path.name]


def test_same_network_makes_the_same_bytes_and_hashes_fit(tiny: TinyModel, tmp_path: Path) -> None:
    network = trained_network(tiny, SETTINGS["loha"])
    one = saver(tmp_path / "a", network).save("-000002", 3, 2)
    two = saver(tmp_path / "b", network).save("-000002", 3, 2)
    assert one.name == "net-000002.safetensors"
    assert one.read_bytes() == two.read_bytes()
    with safe_open(one, "pt") as file:
        metadata = file.metadata()
    raw = one.read_bytes()
    header = int.from_bytes(raw[:8], "little")
    assert metadata["sshs_model_hash"] == hashlib.sha256(raw[8 + header :]).hexdigest()
    assert len(metadata["sshs_legacy_hash"]) == 8
    assert metadata["ss_steps"] == "3"
