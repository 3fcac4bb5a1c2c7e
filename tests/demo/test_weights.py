"""The exported names, read back by diffusers' own converter."""

import json
from pathlib import Path

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors import safe_open

from lib_lyco.demo.pretrain.autoencoder import build_vae
from lib_lyco.demo.pretrain.denoiser import Denoiser
from lib_lyco.demo.weights import Weights, checkpoint_weights, facts, unet_name, write_checkpoint


@pytest.fixture(scope="module")
def modules() -> tuple[Denoiser, torch.nn.Module]:
    torch.manual_seed(0)
    return Denoiser().half(), build_vae().half()


@pytest.fixture(scope="module")
def weights(modules: tuple[Denoiser, torch.nn.Module]) -> Weights:
    model, vae = modules
    return checkpoint_weights(model.unet.state_dict(), model.text.state_dict(), vae.state_dict())


def same(got: Weights, expected: Weights) -> None:
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name].reshape(value.shape), value) for name, value in expected.items())


def test_unet_names_are_ldms(modules: tuple[Denoiser, torch.nn.Module], weights: Weights) -> None:
    back = convert_ldm_unet_checkpoint(dict(weights), dict(modules[0].unet.config))
    same(back, modules[0].unet.state_dict())


def test_vae_names_are_ldms(modules: tuple[Denoiser, torch.nn.Module], weights: Weights) -> None:
    vae = modules[1]
    config = {"down_block_types": [0] * 4, "up_block_types": [0] * 4}
    back = convert_ldm_vae_checkpoint(dict(weights), config)
    same(back, vae.state_dict())
    assert weights["first_stage_model.encoder.mid.attn_1.q.weight"].ndim == 4


def test_text_names_are_sd1s(weights: Weights) -> None:
    stem = "cond_stage_model.transformer.text_model."
    names = {name.removeprefix(stem) for name in weights if name.startswith("cond_stage_model.")}
    assert "embeddings.token_embedding.weight" in names
    assert "encoder.layers.11.self_attn.q_proj.weight" in names
    assert "final_layer_norm.bias" in names
    assert len(names) == 4 + 12 * 16


def test_layout_is_sd1s(weights: Weights) -> None:
    stem = "model.diffusion_model."
    unet = {name.removeprefix(stem) for name in weights if name.startswith(stem)}
    # SD1 has 686; equal widths need no skip convolution in input blocks 4 and 7
    assert len(unet) == 682
    assert weights[f"{stem}input_blocks.1.1.proj_in.weight"].shape == (64, 64, 1, 1)


def test_file_is_small_and_says_what_it_is(weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_checkpoint(path, weights, facts(8, 4, 5))
    assert path.stat().st_size <= 16_000_000
    with safe_open(path, "pt") as file:  # pyright: ignore[reportUnknownVariableType]
        header = file.metadata()
    told = json.loads(header["lyco_demo"])
    assert (told["unet_heads"], told["text_heads"], told["prediction"]) == (8, 4, "v")
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_unknown_name_is_an_error() -> None:
    with pytest.raises(ValueError, match="mid_block.other"):
        unet_name("mid_block.other.0.weight")
