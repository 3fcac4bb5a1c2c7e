"""The layers of the autoencoder, by rule: diffusers' names beside those of a checkpoint (ldm).

diffusers' `AutoencoderKL` counts the decoder's blocks from the latents up, ldm from the picture
down (diffusers, `convert_ldm_vae_checkpoint`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

VAE_ROOT = "first_stage_model"

_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


@dataclass(frozen=True)
class VaePlan:
    """The numbers that tell one autoencoder from another."""

    channels: tuple[int, ...]
    """Width of each level, from the picture down; each level but the last halves the size."""
    layers_per_block: int
    """Resnets of a level in the encoder; the decoder has one more."""
    latent_channels: int = 4


@dataclass(frozen=True)
class VaeLayer:
    """One parametrised layer."""

    path: str
    """Module path in diffusers' `AutoencoderKL`."""
    place: str
    """Module path in a checkpoint, below `VAE_ROOT`."""
    shape: tuple[int, ...]
    """The weight as diffusers keeps it; a checkpoint has the attention's linears as 1x1 convs."""


def vae_layers(plan: VaePlan) -> Iterator[VaeLayer]:
    """Every parametrised layer of encoder, decoder and what joins them."""
    moments = 2 * plan.latent_channels
    yield from _encoder(plan)
    yield VaeLayer("quant_conv", "quant_conv", (moments, moments, 1, 1))
    yield VaeLayer("post_quant_conv", "post_quant_conv", (plan.latent_channels, plan.latent_channels, 1, 1))
    yield from _decoder(plan)


def _encoder(plan: VaePlan) -> Iterator[VaeLayer]:
    top, bottom = plan.channels[0], plan.channels[-1]
    before = top
    yield VaeLayer("encoder.conv_in", "encoder.conv_in", (top, 3, 3, 3))
    for level, width in enumerate(plan.channels):
        for j in range(plan.layers_per_block):
            path, place = f"encoder.down_blocks.{level}.resnets.{j}", f"encoder.down.{level}.block.{j}"
            yield from _resnet(path, place, before, width)
            before = width
        if level < len(plan.channels) - 1:
            path, place = f"encoder.down_blocks.{level}.downsamplers.0", f"encoder.down.{level}.downsample"
            yield VaeLayer(f"{path}.conv", f"{place}.conv", (width, width, 3, 3))
    yield from _mid("encoder", bottom)
    yield VaeLayer("encoder.conv_norm_out", "encoder.norm_out", (bottom,))
    yield VaeLayer("encoder.conv_out", "encoder.conv_out", (2 * plan.latent_channels, bottom, 3, 3))


def _decoder(plan: VaePlan) -> Iterator[VaeLayer]:
    top, bottom = plan.channels[0], plan.channels[-1]
    before = bottom
    yield VaeLayer("decoder.conv_in", "decoder.conv_in", (bottom, plan.latent_channels, 3, 3))
    yield from _mid("decoder", bottom)
    for level in reversed(range(len(plan.channels))):
        block, width = len(plan.channels) - 1 - level, plan.channels[level]
        for j in range(plan.layers_per_block + 1):
            path, place = f"decoder.up_blocks.{block}.resnets.{j}", f"decoder.up.{level}.block.{j}"
            yield from _resnet(path, place, before, width)
            before = width
        if level > 0:
            path, place = f"decoder.up_blocks.{block}.upsamplers.0", f"decoder.up.{level}.upsample"
            yield VaeLayer(f"{path}.conv", f"{place}.conv", (width, width, 3, 3))
    yield VaeLayer("decoder.conv_norm_out", "decoder.norm_out", (top,))
    yield VaeLayer("decoder.conv_out", "decoder.conv_out", (3, top, 3, 3))


def _mid(half: str, width: int) -> Iterator[VaeLayer]:
    yield from _resnet(f"{half}.mid_block.resnets.0", f"{half}.mid.block_1", width, width)
    for leaf, place in _ATTENTION.items():
        shape = (width,) if leaf == "group_norm" else (width, width)
        yield VaeLayer(f"{half}.mid_block.attentions.0.{leaf}", f"{half}.mid.attn_1.{place}", shape)
    yield from _resnet(f"{half}.mid_block.resnets.1", f"{half}.mid.block_2", width, width)


def _resnet(path: str, place: str, before: int, after: int) -> Iterator[VaeLayer]:
    yield VaeLayer(f"{path}.norm1", f"{place}.norm1", (before,))
    yield VaeLayer(f"{path}.conv1", f"{place}.conv1", (after, before, 3, 3))
    yield VaeLayer(f"{path}.norm2", f"{place}.norm2", (after,))
    yield VaeLayer(f"{path}.conv2", f"{place}.conv2", (after, after, 3, 3))
    if before != after:
        yield VaeLayer(f"{path}.conv_shortcut", f"{place}.nin_shortcut", (after, before, 1, 1))
