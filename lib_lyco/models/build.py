"""Modules of diffusers and transformers out of a checkpoint, without an initialisation in between."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from lib_lyco.models.autoencoder import Autoencoder
from lib_lyco.models.base import Prediction
from lib_lyco.models.checkpoint import Checkpoint
from lib_lyco.models.plan import GROUPS, is_open_clip
from lib_lyco.naming.layer import Component

NUM_POSITIONS = 77
_BOS, _EOS, _PAD_OPEN_CLIP = 49406, 49407, 0


def build_unet(checkpoint: Checkpoint, dtype: torch.dtype) -> UNet2DConditionModel:
    """The denoiser in `dtype`, on the CPU, frozen. Raises as `Checkpoint.weights`."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**unet_config(checkpoint, dtype))
    _fill(unet, checkpoint.weights("unet", dtype))
    return unet


def build_vae(checkpoint: Checkpoint, other: Autoencoder | None = None) -> AutoencoderKL:
    """The autoencoder, the checkpoint's own or another, on the CPU, frozen; in float32: SDXL's overflows
    in half precision."""
    plan = other.plan if other else checkpoint.plan.vae
    config: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * len(plan.channels),
        "up_block_types": ("UpDecoderBlock2D",) * len(plan.channels),
        "block_out_channels": plan.channels,
        "layers_per_block": plan.layers_per_block,
        "latent_channels": plan.latent_channels,
        "norm_num_groups": GROUPS,
        "scaling_factor": checkpoint.settings.latent_scale,
    }
    with torch.device("meta"):
        vae = AutoencoderKL(**config)
    _fill(vae, other.weights if other else checkpoint.weights("vae", torch.float32))
    return vae


def build_text(
    checkpoint: Checkpoint, component: Component, dtype: torch.dtype
) -> CLIPTextModelWithProjection:
    """A text encoder in `dtype`, on the CPU, frozen. Raises as `Checkpoint.weights`.

    All are built with projection, whose modules are called the same in every version of
    transformers; where the model has none the projection is an identity without parameters.
    """
    plan = checkpoint.plan.texts[component]
    with torch.device("meta"):
        encoder = CLIPTextModelWithProjection(text_config(checkpoint, component))
    if not plan.projection:
        encoder.add_module("text_projection", nn.Identity())
    embeddings: Any = encoder.text_model.embeddings
    embeddings.position_ids = torch.arange(NUM_POSITIONS)[None]
    _fill(encoder, checkpoint.weights(component, dtype))
    return encoder


def unet_config(checkpoint: Checkpoint, dtype: torch.dtype) -> dict[str, Any]:
    """Arguments of diffusers' `UNet2DConditionModel`."""
    plan, settings = checkpoint.plan.unet, checkpoint.settings
    with_attention = [depth > 0 for depth in plan.depths]
    config: dict[str, Any] = {
        "in_channels": plan.in_channels,
        "out_channels": plan.out_channels,
        "block_out_channels": plan.channels,
        "down_block_types": tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in with_attention),
        "up_block_types": tuple(
            "CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(with_attention)
        ),
        # diffusers gives the middle block the last level's depth, which may have no attention of its own
        "transformer_layers_per_block": (*(max(1, d) for d in plan.depths[:-1]), plan.mid_depth),
        "cross_attention_dim": plan.context,
        # diffusers calls the number of heads `attention_head_dim` (its issue 2011)
        "attention_head_dim": settings.unet_heads,
        "use_linear_projection": plan.linear_projection,
        # SD2's attention scores overflow float16 (the WebUI upcasts them too)
        "upcast_attention": checkpoint.plan.family == "sd2" and dtype == torch.float16,
        "norm_num_groups": GROUPS,
    }
    if plan.vector:
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": settings.size_width(checkpoint.plan),
            "projection_class_embeddings_input_dim": plan.vector,
        }
    return config


def text_config(checkpoint: Checkpoint, component: Component) -> CLIPTextConfig:
    """Configuration of transformers' CLIP text model."""
    plan = checkpoint.plan.texts[component]
    open_clip = is_open_clip(checkpoint.plan.family, component)
    return CLIPTextConfig(
        vocab_size=_EOS + 1,
        hidden_size=plan.width,
        intermediate_size=4 * plan.width,
        projection_dim=plan.width,
        num_hidden_layers=plan.num_layers,
        num_attention_heads=checkpoint.settings.text_heads[component],
        max_position_embeddings=NUM_POSITIONS,
        hidden_act="gelu" if open_clip else "quick_gelu",
        bos_token_id=_BOS,
        eos_token_id=_EOS,
        pad_token_id=_PAD_OPEN_CLIP if open_clip else _EOS,
    )


def _fill(module: nn.Module, weights: dict[str, Tensor]) -> None:
    # names were compared with the file's before; a difference now is between us and the library
    missing, unexpected = module.load_state_dict(weights, strict=False, assign=True)
    assert not unexpected, unexpected
    assert set(missing) <= {"text_model.embeddings.position_ids"}, missing
    module.requires_grad_(False).eval()


@torch.no_grad()
def guess_prediction(unet: UNet2DConditionModel) -> Prediction:
    """What an SD2 denoiser predicts, from its answer to a flat gray field of noise at the last timestep.

    There almost all is noise: epsilon comes back as the input, v = -x_0 nearly, and far below it. The
    WebUI tells the two published models apart in this way (`sd_models_config.py`).
    """
    width: int = unet.config.cross_attention_dim  # pyright: ignore[reportAttributeAccessIssue]
    field = torch.full((1, 4, 8, 8), 0.5, device=unet.device, dtype=unet.dtype)
    states = torch.full((1, 2, width), 0.5, device=unet.device, dtype=unet.dtype)
    output = unet(field, 999, states, return_dict=False)[0]
    return "v" if float((output - field).mean()) < -1 else "epsilon"
