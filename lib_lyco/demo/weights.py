"""From the training modules' names to ldm's names: what an SD1 checkpoint file holds."""

import json
import re
from pathlib import Path

import torch
from safetensors.torch import save_file

Weights = dict[str, torch.Tensor]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_PARTS = {
    "conv_shortcut": "nin_shortcut",
    "conv_norm_out": "norm_out",
    "mid_block.attentions.0.group_norm": "mid.attn_1.norm",
    "mid_block.attentions.0.to_q": "mid.attn_1.q",
    "mid_block.attentions.0.to_k": "mid.attn_1.k",
    "mid_block.attentions.0.to_v": "mid.attn_1.v",
    "mid_block.attentions.0.to_out.0": "mid.attn_1.proj_out",
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "downsamplers.0": "downsample",
    "upsamplers.0": "upsample",
    "resnets": "block",
    "down_blocks": "down",
}


def unet_name(name: str) -> str:
    """ldm's name of a UNet parameter in diffusers' naming."""
    for ours, theirs in _ENDS.items():
        if name.startswith(ours + "."):
            return theirs + name[len(ours) :]
    found = re.match(
        r"(down|up)_blocks\.(\d)\.(resnets|attentions|downsamplers|upsamplers)\.(\d)\.(.*)", name
    )
    if found:
        side, kind, rest = found[1], found[3], found[5]
        block, layer = int(found[2]), int(found[4])
        if kind == "downsamplers":
            return f"input_blocks.{3 * block + 3}.0.op." + rest.removeprefix("conv.")
        if kind == "upsamplers":
            return f"output_blocks.{3 * block + 2}.{1 if block == 0 else 2}.{rest}"
        place = (
            f"input_blocks.{3 * block + layer + 1}"
            if side == "down"
            else f"output_blocks.{3 * block + layer}"
        )
        return f"{place}.1.{rest}" if kind == "attentions" else f"{place}.0.{_resnet_part(rest)}"
    found = re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name)
    if not found:
        raise ValueError(f"UNet parameter {name!r} has no name in ldm's layout")
    if found[1] == "attentions":
        return f"middle_block.1.{found[3]}"
    return f"middle_block.{2 * int(found[2])}.{_resnet_part(found[3])}"


def _resnet_part(rest: str) -> str:
    part, _, leaf = rest.partition(".")
    return f"{_RESNET[part]}.{leaf}"


def vae_name(name: str) -> str:
    """ldm's name of a VAE parameter in diffusers' naming."""
    name = re.sub(r"up_blocks\.(\d)", lambda found: f"up.{3 - int(found[1])}", name)
    for ours, theirs in _VAE_PARTS.items():
        name = name.replace(ours, theirs)
    return name


def checkpoint_weights(unet: Weights, text: Weights, vae: Weights) -> Weights:
    """One dictionary in ldm's naming, fp16; the VAE's attention as 1x1 convolutions.

    Args:
        unet: state of diffusers' UNet2DConditionModel.
        text: state of transformers' CLIPTextModel.
        vae: state of diffusers' AutoencoderKL.
    """
    named: Weights = {"model.diffusion_model." + unet_name(k): v for k, v in unet.items()}
    for key, value in vae.items():
        name = vae_name(key)
        square = ".attn_1." in name and ".norm." not in name and value.ndim == 2
        named["first_stage_model." + name] = value[:, :, None, None] if square else value
    for key, value in text.items():
        if not key.endswith("position_ids"):
            stem = key if key.startswith("text_model.") else "text_model." + key
            named["cond_stage_model.transformer." + stem] = value
    return {key: value.detach().to(torch.float16).contiguous() for key, value in sorted(named.items())}


def write_checkpoint(path: Path, weights: Weights, facts: dict[str, str]) -> None:
    """Writes the file whole or not at all; ``facts`` go into the header."""
    part = path.with_suffix(".part")
    save_file(weights, part, {"format": "pt", **facts})
    part.replace(path)


def facts(heads: int, text_heads: int, steps: int) -> dict[str, str]:
    """What tensors alone do not tell a loader: head counts, prediction, training length."""
    architecture = {
        "unet_heads": heads,
        "text_heads": text_heads,
        "text_activation": "quick_gelu",
        "prediction": "v",
        "vae_scale": 0.18215,
        "groups": 32,
    }
    return {
        "modelspec.title": "lyco embedded model",
        "modelspec.architecture": "stable-diffusion-v1",
        "modelspec.prediction_type": "v",
        "modelspec.license": "Apache-2.0",
        "modelspec.resolution": "64x64",
        "lyco_demo": json.dumps(architecture),
        "lyco_demo_steps": str(steps),
    }
