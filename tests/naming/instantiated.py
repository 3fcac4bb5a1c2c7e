"""The real models on torch's meta device: what the tables are compared with.

Configurations are those published with the models (`unet/config.json`, `text_encoder/config.json`
of stable-diffusion-v1-5, stable-diffusion-2-1, stable-diffusion-xl-base-1.0,
stable-diffusion-3-medium, stable-diffusion-3.5-medium).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from lib_lyco.naming.layer import Component, Family

UNETS: dict[Family, dict[str, Any]] = {
    "sd1": {"cross_attention_dim": 768, "attention_head_dim": 8},
    "sd2": {
        "cross_attention_dim": 1024,
        "attention_head_dim": [5, 10, 20, 20],
        "use_linear_projection": True,
    },
    "sdxl": {
        "cross_attention_dim": 2048,
        "attention_head_dim": [5, 10, 20],
        "block_out_channels": [320, 640, 1280],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": [1, 2, 10],
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}
CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}
CLIP_H = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23}
CLIP_G = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "projection_dim": 1280,
}
SD3_MEDIUM: dict[str, Any] = {
    "sample_size": 128,
    "num_layers": 24,
    "attention_head_dim": 64,
    "num_attention_heads": 24,
    "caption_projection_dim": 1536,
    "in_channels": 16,
    "out_channels": 16,
}
SD35_MEDIUM: dict[str, Any] = {
    **SD3_MEDIUM,
    "dual_attention_layers": tuple(range(13)),
    "qk_norm": "rms_norm",
}
T5_XXL: dict[str, Any] = {
    "d_model": 4096,
    "d_ff": 10240,
    "d_kv": 64,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
    "vocab_size": 32128,
}
TEXT_ENCODERS: dict[tuple[Family, Component], dict[str, int]] = {
    ("sd1", "te1"): CLIP_L,
    ("sd2", "te1"): CLIP_H,
    ("sdxl", "te1"): CLIP_L,
    ("sdxl", "te2"): CLIP_G,
    ("sd3", "te1"): {**CLIP_L, "projection_dim": 768},
    ("sd3", "te2"): CLIP_G,
}


@cache
def unet(family: Family) -> nn.Module:
    """`build_unet`, shared by tests that leave it as it is."""
    return build_unet(family)


def build_unet(family: Family) -> nn.Module:
    """diffusers' UNet of a family, without memory for its weights."""
    diffusers = pytest.importorskip("diffusers", reason="diffusers builds the UNet to compare with")
    with torch.device("meta"):
        return diffusers.UNet2DConditionModel(**UNETS[family])


@cache
def text_encoder(family: Family, component: Component) -> nn.Module:
    """transformers' text encoder of a family, without memory for its weights."""
    transformers = pytest.importorskip("transformers", reason="transformers builds the text encoder")
    numbers = TEXT_ENCODERS[family, component]
    projects = "projection_dim" in numbers
    model = transformers.CLIPTextModelWithProjection if projects else transformers.CLIPTextModel
    with torch.device("meta"):
        return model(transformers.CLIPTextConfig(**numbers))


def mmdit(config: dict[str, Any]) -> nn.Module:
    """diffusers' SD3 transformer, without memory for its weights."""
    diffusers = pytest.importorskip("diffusers", reason="diffusers builds the MMDiT to compare with")
    with torch.device("meta"):
        return diffusers.SD3Transformer2DModel(**config)


def t5() -> nn.Module:
    """transformers' T5-XXL encoder, without memory for its weights."""
    transformers = pytest.importorskip("transformers", reason="transformers builds the text encoder")
    with torch.device("meta"):
        return transformers.T5EncoderModel(transformers.T5Config(**T5_XXL))


def weights(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Path -> weight shape of every module that owns parameters."""
    return {
        name: tuple(child.get_parameter("weight").shape)
        for name, child in module.named_modules()
        if list(child.parameters(recurse=False))
    }


def file_path(path: str, component: Component) -> str:
    """A text encoder's module path as files spell it: transformers 5 hides `text_model.`."""
    if component == "unet" or path.startswith(("text_model.", "text_projection")):
        return path
    return f"text_model.{path}"
