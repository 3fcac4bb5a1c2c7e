"""A made-up file in the original layout, loaded by us and by diffusers' own converters: the same model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_open_clip_checkpoint,
)
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from lib_lyco.models.diffusers_model import DiffusersModel
from lib_lyco.naming.layer import Component, LayerName
from lib_lyco.naming.table import layer_table

HEADS = 4
ENCODERS = (
    # (family, component, where diffusers finds it, whether it is OpenCLIP's)
    ("sd1", "te1", "cond_stage_model.transformer.", False),
    ("sd2", "te1", "cond_stage_model.model.", True),
    ("sdxl", "te1", "conditioner.embedders.0.transformer.", False),
    ("sdxl", "te2", "conditioner.embedders.1.model.", True),
)


def same_parameters(ours: nn.Module, theirs: dict[str, Tensor]) -> None:
    state = {name: value for name, value in ours.state_dict().items() if "position_ids" not in name}
    assert set(state) == set(theirs)
    for name, value in state.items():
        assert torch.equal(value, theirs[name].reshape(value.shape)), name


def diffusers_unet(family: str, path: Path) -> Any:
    if family != "sdxl":
        return UNet2DConditionModel.from_single_file(
            str(path), original_config=str(path.with_suffix(".yaml")), torch_dtype=torch.float32
        )
    # from_single_file knows SDXL by its published widths: here they are scaled, the rest is as published
    config: dict[str, Any] = {
        "block_out_channels": (32, 64, 128),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (HEADS, HEADS, HEADS),
        "cross_attention_dim": 192,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 32,
        "projection_class_embeddings_input_dim": 320,
        "layers_per_block": 2,
    }
    oracle = UNet2DConditionModel(**config)
    weights = {key: value.float() for key, value in load_file(path).items()}
    oracle.load_state_dict(convert_ldm_unet_checkpoint(weights, config))
    return oracle.eval()


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_denoiser_answers_as_the_one_diffusers_loads(
    family: str, models: dict[str, DiffusersModel], model_files: dict[str, Path]
) -> None:
    oracle = diffusers_unet(family, model_files[family])
    model = models[family]
    ours = model.component("unet")
    assert ours is not None
    same_parameters(ours, dict(oracle.state_dict()))

    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn(2, 4, 16, 8, generator=generator)
    timesteps = torch.tensor([0, 999])
    with torch.no_grad():
        cond = model.encode_prompts(["a cat", ""])
        added = None
        if family == "sdxl":
            sizes = torch.tensor([[128.0, 64, 0, 0, 128, 64]] * 2)
            added = {"text_embeds": cond.pooled, "time_ids": sizes}
        expected = oracle(noisy, timesteps, cond.states, added_cond_kwargs=added).sample
        torch.testing.assert_close(model.predict(noisy, timesteps, cond), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_autoencoder_answers_as_the_one_diffusers_loads(
    family: str, models: dict[str, DiffusersModel], model_files: dict[str, Path]
) -> None:
    path = model_files[family]
    oracle: Any = AutoencoderKL.from_single_file(
        str(path), original_config=str(path.with_suffix(".yaml")), torch_dtype=torch.float32
    )
    model = models[family]
    same_parameters(model.vae, dict(oracle.state_dict()))
    scale = 0.13025 if family == "sdxl" else 0.18215
    images = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with torch.no_grad():
        latents = model.encode_images(images)
        assert torch.equal(latents, oracle.encode(images).latent_dist.mode() * scale)
        assert latents.shape == (1, 4, 4, 8)
        assert torch.equal(model.decode_latents(latents), oracle.decode(latents / scale).sample)


@pytest.mark.parametrize(("family", "component", "root", "open_clip"), ENCODERS)
def test_text_encoder_has_the_parameters_that_diffusers_converts(
    family: str,
    component: Component,
    root: str,
    open_clip: bool,
    models: dict[str, DiffusersModel],
    model_files: dict[str, Path],
) -> None:
    encoder = models[family].component(component)
    assert encoder is not None
    weights = {key: value.float() for key, value in load_file(model_files[family]).items()}
    if open_clip:
        config = encoder.config
        assert isinstance(config, CLIPTextConfig)
        kind = CLIPTextModelWithProjection if family == "sdxl" else CLIPTextModel
        theirs = convert_open_clip_checkpoint(kind(config), weights, prefix=root)
        if family == "sd2":
            # published SD2 models have 23 layers in transformers; the last resblock is not loaded
            theirs = {name: value for name, value in theirs.items() if ".layers.23." not in name}
            theirs.pop("text_projection.weight", None)
    else:
        theirs = convert_ldm_clip_checkpoint(weights, remove_prefix=root)
    same_parameters(encoder, theirs)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_targets_are_every_parametrised_layer_under_its_canonical_name(
    family: str, models: dict[str, DiffusersModel]
) -> None:
    model = models[family]
    targets = model.targets()
    table = layer_table("sd1" if family == "sd1" else "sd2" if family == "sd2" else "sdxl")
    assert set(targets) == set(table)
    counted = 0
    for component in table.components:
        root = model.component(component)
        assert root is not None
        for path, module in root.named_modules():
            if next(module.parameters(recurse=False), None) is not None:
                (target,) = targets[LayerName(component, path)]
                assert target.module is module
                assert target.rows is None
                counted += 1
    assert counted == len(targets)
    num_unet_layers = sum(layer.component == "unet" for layer in targets)
    assert num_unet_layers == (1050 if family == "sdxl" else 391)
