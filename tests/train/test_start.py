"""Going on from a network file, ranks from it, networks merged into the base; two runs in one process."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lib_lyco.errors import ConfigError
from lib_lyco.naming.layer import LayerName
from lib_lyco.network.load import load_network
from lib_lyco.train.compose.network import base_networks, make_network
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.run import train
from tests.train.test_algorithms import SETTINGS
from tests.train.test_save import saver, trained_network
from tests.train.tiny import TinyModel

MakeConfig = Callable[..., TrainConfig]


def options_of(name: str) -> dict[str, Any]:
    """Options that ask for a network like `trained_network(SETTINGS[name])`."""
    settings = SETTINGS[name]
    plain = (
        "algo",
        "rank",
        "alpha",
        "tucker",
        "use_scalar",
        "dora",
        "wd_on_output",
        "factor",
        "full_matrix",
    )
    more = (
        "decompose_both",
        "unbalanced_factorization",
        "block_size",
        "constraint",
        "rescaled",
        "sig_type",
        "use_data_init",
    )
    conv = {} if settings.algo == "ia3" else {"conv_rank": settings.rank, "conv_alpha": settings.alpha}
    return {name: getattr(settings, name) for name in (*plain, *more)} | conv


@pytest.mark.parametrize("name", [name for name in SETTINGS if name not in ("ia3 input", "boft rescaled")])
def test_training_goes_on_from_the_change_of_the_file(
    make_config: MakeConfig, tiny: TinyModel, tmp_path: Path, name: str
) -> None:
    first = trained_network(tiny, SETTINGS[name])
    path = saver(tmp_path, first).save("", 1, 1)
    before = path.read_bytes()
    network = make_network(make_config(**options_of(name), network_weights=str(path), seed=99), tiny)
    for layer, wanted in zip(network, first, strict=True):
        assert layer.layer == wanted.layer
        torch.testing.assert_close(layer.delta(), wanted.delta(), rtol=1e-4, atol=1e-5)
    assert path.read_bytes() == before


def test_another_alpha_keeps_the_change_and_trains_with_the_new_scale(
    make_config: MakeConfig, tiny: TinyModel, tmp_path: Path
) -> None:
    first = trained_network(tiny, SETTINGS["lora"])
    path = saver(tmp_path, first).save("", 1, 1)
    config = make_config(rank=4, alpha=16.0, conv_rank=4, conv_alpha=2.0, network_weights=str(path))
    network = make_network(config, tiny)
    layer, wanted = network.layers[0], first.layers[0]
    assert (layer.module.scale, wanted.module.scale) == (4.0, 0.5)
    torch.testing.assert_close(layer.module.lora_up.weight, wanted.module.lora_up.weight / 8)
    torch.testing.assert_close(layer.delta(), wanted.delta())


def test_ranks_from_the_file_are_each_layers(
    make_config: MakeConfig, tiny: TinyModel, tmp_path: Path
) -> None:
    dims = tuple(1 + n % 5 for n in range(25))
    config = make_config(block_dims=dims, alpha=3.0, te_learning_rate=(0.0,))
    first = make_network(config, tiny)
    path = saver(tmp_path, first).save("", 1, 1)
    network = make_network(make_config(rank=100, network_weights=str(path), dim_from_weights=True), tiny)
    found = {layer.layer: (layer.settings.rank, layer.settings.alpha) for layer in network}
    assert found == {layer.layer: (layer.settings.rank, 3.0) for layer in first}
    assert len({rank for rank, _ in found.values()}) == 5
    down = [layer.module.lora_down.weight for layer in network]
    assert all(torch.equal(a, layer.module.lora_down.weight) for a, layer in zip(down, first, strict=True))


def test_file_that_does_not_fit_is_an_error(
    make_config: MakeConfig, tiny: TinyModel, tmp_path: Path
) -> None:
    path = saver(tmp_path, trained_network(tiny, SETTINGS["lora"])).save("", 1, 1)
    for options, text in (
        ({"conv_rank": 4, "rank": 8}, "of rank 8"),
        ({"rank": 4}, "are not trained"),
        ({"rank": 4, "conv_rank": 4, "te_learning_rate": (0.0,)}, "are not trained"),
        ({"algo": "loha", "rank": 4}, "lora on"),
        ({"rank": 4, "conv_rank": 4, "dora": True}, "lora on"),
    ):
        with pytest.raises(ConfigError) as caught:
            make_network(make_config(**options, network_weights=str(path)), tiny)
        assert text in f"{caught.value.got} {caught.value.expected}"
        assert "network_weights" in caught.value.where


def test_layers_that_the_file_lacks_start_anew(
    make_config: MakeConfig, tiny: TinyModel, tmp_path: Path
) -> None:
    tensors = load_file(saver(tmp_path, trained_network(tiny, SETTINGS["lora"], conv=False)).save("", 1, 1))
    kept = {key: value for key, value in tensors.items() if key.startswith("lora_unet_mid")}
    save_file(kept, tmp_path / "mid.safetensors", metadata={"ss_base_model_version": "sd_v1"})
    network = make_network(make_config(rank=4, network_weights=str(tmp_path / "mid.safetensors")), tiny)
    for layer in network:
        assert bool(layer.delta().abs().max() > 0) == layer.layer.path.startswith("mid_block")


@pytest.mark.parametrize("name", ["network", "network-000002", "network-step00000010"])
def test_run_never_writes_over_a_file_it_starts_from(
    make_config: MakeConfig, tiny: TinyModel, tmp_path: Path, name: str
) -> None:
    path = tmp_path / f"{name}.safetensors"
    for option in ({"network_weights": str(path)}, {"base_weights": (str(path),)}):
        with (
            pytest.raises(ConfigError, match="write over"),
            base_networks(make_config(name="network", output=str(tmp_path), **option), tiny),
        ):
            pass


def test_networks_in_the_base_are_summed_in_float32_and_taken_out_exactly(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    model = TinyModel(dtype=torch.bfloat16)
    weights = {
        name: (one, one.data_ptr(), one.detach().clone()) for name, one in model.unet.named_parameters()
    }
    paths = [tmp_path / f"{name}.safetensors" for name in ("lora", "full")]
    for path, name in zip(paths, ("lora", "full"), strict=True):
        trained = saver(tmp_path, trained_network(model, SETTINGS[name])).save("", 1, 1)
        trained.rename(path)
    config = make_config(base_weights=tuple(map(str, paths)), base_weights_multiplier=(0.5,))
    layer = LayerName("unet", "mid_block.attentions.0.proj_in")
    original = weights["mid_block.attentions.0.proj_in.weight"][2]
    one, two = (load_network(path).adapters[layer] for path in paths)
    with pytest.raises(ZeroDivisionError), base_networks(config, model):
        merged = model.unet.mid_block.attentions[0].proj_in
        wanted = original.float() + 0.5 * one.delta(original.float()) + two.delta(original.float())
        assert torch.equal(merged.weight, wanted.bfloat16())
        shift = two.bias_delta(None)
        assert shift is not None
        bias = weights["mid_block.attentions.0.proj_in.bias"][2]
        assert torch.equal(merged.bias, (bias.float() + shift).bfloat16())
        raise ZeroDivisionError
    for name, parameter in model.unet.named_parameters():
        same, place, values = weights[name]
        assert parameter is same
        assert parameter.data_ptr() == place
        assert torch.equal(parameter, values)


def test_network_of_another_model_is_not_merged(
    make_config: MakeConfig, tiny: TinyModel, tmp_path: Path
) -> None:
    tensors = {
        f"lora_te2_text_model_encoder_layers_0_mlp_fc1.{part}": torch.ones(shape)
        for part, shape in (("lora_up.weight", (5120, 2)), ("lora_down.weight", (2, 1280)))
    }
    save_file(tensors, tmp_path / "odd.safetensors")
    config = make_config(base_weights=(str(tmp_path / "odd.safetensors"),))
    with pytest.raises(ConfigError, match="cannot be merged"), base_networks(config, tiny):
        pass


def class_members() -> dict[str, dict[str, Any]]:
    """Every attribute of every class of lycoris' modules and networks."""
    found: dict[str, dict[str, Any]] = {}
    names = ("locon", "loha", "lokr", "ia3", "dylora", "full", "glora", "diag_oft", "boft", "norms", "base")
    for name in (*(f"modules.{name}" for name in names), "kohya", "wrapper"):
        module = importlib.import_module(f"lycoris.{name}")
        for key, value in vars(module).items():
            if isinstance(value, type) and value.__module__.startswith("lycoris"):
                found[f"{name}.{key}"] = dict(vars(value))
    return found


def test_runs_in_one_process_do_not_know_of_each_other(make_config: MakeConfig, tmp_path: Path) -> None:
    preset = tmp_path / "preset.toml"
    preset.write_text('unet_target_module = ["FeedForward"]\nunet_target_name = []\nenable_conv = false')
    members, state = class_members(), torch.random.get_rng_state()

    def trained(folder: str, dtype: torch.dtype = torch.float32, **options: Any) -> dict[str, Tensor]:
        config = make_config(max_steps=2, output=str(tmp_path / folder), **options)
        for _ in train(config, TinyModel(dtype=dtype)):
            pass
        return load_file(tmp_path / folder / "network.safetensors")

    first = trained("first", rank_dropout=0.2)
    half = trained("half", torch.bfloat16, algo="lokr", preset=str(preset), factor=4, precision="bf16")
    trained("oft", algo="diag-oft", preset="unet-transformer-only", layer_math="lycoris")
    again = trained("again", rank_dropout=0.2)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert all("_ff_net_" in key or key.startswith("lora_te_") for key in half)
    assert class_members() == members
    assert torch.equal(torch.random.get_rng_state(), state)
