"""A base model saved by diffusers and transformers themselves, as a folder: the same model as the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from lib_lyco.demo.madeup import FULL, Known
from lib_lyco.errors import ModelError
from lib_lyco.models.checkpoint import open_checkpoint
from lib_lyco.models.diffusers_model import DiffusersModel
from lib_lyco.models.folder import INDEX, folder_plan
from lib_lyco.models.load import load_model
from lib_lyco.naming.layer import Component

FAMILIES: tuple[Known, ...] = ("sd1", "sd2", "sdxl")
VAE = {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": 4}
CLIP_L = {
    "hidden_act": "quick_gelu",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
}
CLIP_H = {"hidden_act": "gelu", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23}
CLIP_G = {"hidden_act": "gelu", "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32}
FOUR_BLOCKS = {
    "block_out_channels": [320, 640, 1280, 1280],
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "layers_per_block": 2,
}
PUBLISHED: Mapping[Known, tuple[dict[str, Any], dict[Component, dict[str, Any]]]] = {
    # what stands in the config.json of runwayml/stable-diffusion-v1-5, stabilityai/stable-diffusion-2-1
    # and stabilityai/stable-diffusion-xl-base-1.0
    "sd1": ({**FOUR_BLOCKS, "attention_head_dim": 8, "cross_attention_dim": 768}, {"te1": CLIP_L}),
    "sd2": (
        {
            **FOUR_BLOCKS,
            "attention_head_dim": [5, 10, 20, 20],
            "cross_attention_dim": 1024,
            "use_linear_projection": True,
        },
        {"te1": CLIP_H},
    ),
    "sdxl": (
        {
            "block_out_channels": [320, 640, 1280],
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            "transformer_layers_per_block": [1, 2, 10],
            "layers_per_block": 2,
            "attention_head_dim": [5, 10, 20],
            "cross_attention_dim": 2048,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "projection_class_embeddings_input_dim": 2816,
        },
        {"te1": CLIP_L, "te2": CLIP_G},
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_published_configurations_are_the_published_models(family: Known) -> None:
    unet, texts = PUBLISHED[family]
    assert folder_plan(unet, VAE, texts) == FULL[family]


def saved(model: DiffusersModel, folder: Path) -> Path:
    """The model as a pipeline of diffusers saves it."""
    parts: dict[str, Any] = {"unet": model.component("unet"), "vae": model.vae}
    for part, module in parts.items():
        module.save_pretrained(folder / part)
    for component, name in (("te1", "text_encoder"), ("te2", "text_encoder_2")):
        encoder: Any = model.component(component)  # type: ignore[arg-type]
        if encoder is None:
            continue
        projects = not isinstance(encoder.text_projection, nn.Identity)
        made: Any = (CLIPTextModelWithProjection if projects else CLIPTextModel)(encoder.config)
        wanted = made.state_dict()
        weights = {
            key if key in wanted else key.removeprefix("text_model."): value
            for key, value in encoder.state_dict().items()
            if "position_ids" not in key
        }
        missing, unexpected = made.load_state_dict(weights, strict=False)
        assert not unexpected and all("position_ids" in key for key in missing)
        made.save_pretrained(folder / name, safe_serialization=True)
    kind = "v_prediction" if model.schedule.prediction == "v" else "epsilon"
    schedule: Any = DDPMScheduler(1000, 0.00085, 0.012, "scaled_linear", prediction_type=kind)
    schedule.save_pretrained(folder / "scheduler")
    (folder / INDEX).write_text("{}", encoding="utf-8")
    return folder


def same_model(ours: DiffusersModel, other: DiffusersModel) -> None:
    assert (ours.family, ours.schedule.prediction) == (other.family, other.schedule.prediction)
    assert torch.equal(ours.schedule.alphas_cumprod, other.schedule.alphas_cumprod)
    for component in ("unet", "te1", "te2"):
        one, two = ours.component(component), other.component(component)  # type: ignore[arg-type]
        assert (one is None) == (two is None)
        if one is not None and two is not None:
            _same_tensors(one, two)
    _same_tensors(ours.vae, other.vae)
    noisy, times = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([500])
    with torch.no_grad():
        answers = [model.predict(noisy, times, model.encode_prompts(["a cat"])) for model in (ours, other)]
        images = [model.encode_images(noisy[:, :3].repeat(1, 1, 4, 4)) for model in (ours, other)]
    assert torch.equal(*answers)
    assert torch.equal(*images)


def _same_tensors(one: nn.Module, two: nn.Module) -> None:
    first, second = one.state_dict(), two.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_of_diffusers_is_the_model_of_the_file(
    family: Known, models: dict[str, DiffusersModel], tmp_path: Path
) -> None:
    folder = saved(models[family], tmp_path / "stable-diffusion-v1.5")
    loaded = load_model(folder)
    assert loaded.name == "stable-diffusion-v1.5"
    same_model(loaded, models[family])


def test_weights_in_pieces_of_old_names_and_pickled_are_found(
    models: dict[str, DiffusersModel], tmp_path: Path
) -> None:
    folder = saved(models["sd1"], tmp_path / "model")
    whole = folder / "unet" / "diffusion_pytorch_model.safetensors"
    unet: Any = models["sd1"].component("unet")
    unet.save_pretrained(folder / "pieces", max_shard_size="2MB")
    whole.unlink()
    pieces = [
        path.rename(folder / "unet" / path.name) for path in sorted((folder / "pieces").glob("*model*"))
    ]
    assert len(pieces) > 3
    text = folder / "text_encoder" / "model.safetensors"
    torch.save(load_file(text), text.with_name("pytorch_model.bin"))
    text.unlink()
    vae = folder / "vae" / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = load_file(vae)
    for new, former in old.items():
        weights = {key.replace(f".{new}.", f".{former}."): value for key, value in weights.items()}
    assert any("query" in key for key in weights)
    save_file(weights, vae)
    same_model(load_model(folder), models["sd1"])


def test_half_precision_is_taken_where_there_is_nothing_else(
    models: dict[str, DiffusersModel], tmp_path: Path
) -> None:
    folder = saved(models["sd1"], tmp_path / "model")
    whole = folder / "unet" / "diffusion_pytorch_model.safetensors"
    half = {key: value.half() for key, value in load_file(whole).items()}
    save_file(half, whole.with_name("diffusion_pytorch_model.fp16.safetensors"))
    same_model(load_model(folder), models["sd1"])  # the other one comes first
    whole.unlink()
    unet = load_model(folder).component("unet")
    assert unet is not None
    assert torch.equal(unet.state_dict()["conv_in.weight"], half["conv_in.weight"].float())


def _without_vae(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()


def _of_another_width(folder: Path) -> None:
    _changed(folder / "unet" / "config.json", block_out_channels=[64, 128, 256, 256])


def _of_another_depth(folder: Path) -> None:
    _changed(folder / "text_encoder" / "config.json", num_hidden_layers=3)


def _of_another_kind(folder: Path) -> None:
    (folder / "unet").rename(folder / "transformer")


def _of_unknown_blocks(folder: Path) -> None:
    _changed(folder / "unet" / "config.json", down_block_types=["SimpleCrossAttnDownBlock2D"] * 4)


def _changed(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_without_vae, "no weights"),
        (_of_another_width, "wrong shape"),
        (_of_another_depth, "not those of its architecture"),
        (_of_another_kind, "no denoiser of SD1, SD2 or SDXL"),
        (_of_unknown_blocks, "SimpleCrossAttnDownBlock2D"),
    ],
)
def test_what_is_no_whole_model_is_told(
    spoil: Any, told: str, models: dict[str, DiffusersModel], tmp_path: Path
) -> None:
    folder = saved(models["sd1"], tmp_path / "model")
    spoil(folder)
    with pytest.raises(ModelError, match=told):
        load_model(folder)


def test_another_folder_is_none(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="other files"):
        open_checkpoint(tmp_path)
