"""The base model without a host: diffusers' UNet and autoencoder, transformers' text encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from lib_lyco.models.base import (
    LATENT_FACTOR,
    PLAIN_TEXT,
    Cond,
    NoiseSchedule,
    SizeCond,
    TextStyle,
    demand_latent_size,
)
from lib_lyco.models.target import Target, Targets
from lib_lyco.models.text import TextEncoder, encode_pair, encode_single, set_text_checkpointing
from lib_lyco.naming.layer import Component, Family, LayerName

_INPAINTING_CHANNELS = 9


@dataclass(frozen=True)
class Parts:
    """The modules of a base model, all on one device."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    """In float32, whatever the others are in."""
    texts: Mapping[Component, TextEncoder]
    """In the order in which their states stand side by side."""


class DiffusersModel:
    """A `BaseModel`; made by `load.load_model`. Nothing it does depends on or changes global state."""

    def __init__(self, name: str, family: Family, parts: Parts, schedule: NoiseSchedule) -> None:
        self._name = name
        self._family: Family = family
        self._parts = parts
        self._schedule = schedule
        self._targets = MappingProxyType(_targets(self._modules()))

    @property
    def name(self) -> str:
        return self._name

    @property
    def family(self) -> Family:
        return self._family

    @property
    def schedule(self) -> NoiseSchedule:
        return self._schedule

    @property
    def device(self) -> torch.device:
        return self._parts.unet.device

    @property
    def dtype(self) -> torch.dtype:
        return self._parts.unet.dtype

    @property
    def vae(self) -> nn.Module:
        """The autoencoder; no network changes it."""
        return self._parts.vae

    def component(self, component: Component) -> nn.Module | None:
        return self._modules().get(component)

    def targets(self) -> Targets:
        return self._targets

    def encode_images(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """As `BaseModel.encode_images`; the latents are float32.

        Raises:
            ModelError: A side is not a multiple of 8.
        """
        demand_latent_size(images)
        vae: Any = self._parts.vae
        distribution = vae.encode(images.float()).latent_dist
        latents = distribution.mode() if generator is None else distribution.sample(generator)
        return latents * self._latent_scale

    def decode_latents(self, latents: Tensor) -> Tensor:
        """As `BaseModel.decode_latents`; the pictures are float32 and not clipped."""
        vae: Any = self._parts.vae
        return vae.decode(latents.float() / self._latent_scale, return_dict=False)[0]

    def encode_prompts(
        self,
        prompts: Sequence[str],
        clip_skip: int = 1,
        style: TextStyle = PLAIN_TEXT,
        second: Sequence[str] | None = None,
    ) -> Cond:
        """As `BaseModel.encode_prompts`; `text` says how.

        SDXL has no clip skip: it always reads the layers that it was trained with.
        """
        encoders = tuple(self._parts.texts.values())
        if self._family == "sdxl":
            pair = (prompts, prompts if second is None else second)
            return encode_pair((encoders[0], encoders[1]), pair, style)
        return encode_single(encoders[0], prompts, clip_skip, style)

    def predict(self, noisy: Tensor, timesteps: Tensor, cond: Cond, size: SizeCond | None = None) -> Tensor:
        """As `BaseModel.predict`; computed in the model's dtype, returned in that of `noisy`.

        For SDXL no `size` means pictures that were neither resized nor cropped. An inpainting model
        is asked to paint everything.
        """
        unet = self._parts.unet
        sample = self._with_inpainting(noisy).to(self.dtype)
        added = self._added_cond(noisy, cond, size) if self._family == "sdxl" else None
        states = cond.states.to(self.dtype)
        output = unet(sample, timesteps, states, added_cond_kwargs=added, return_dict=False)[0]
        return output.to(noisy.dtype)

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """As `BaseModel.set_gradient_checkpointing`.

        The libraries checkpoint in training mode only, so the modules are put into it (they have no
        dropout and no running statistics: the results stay the same), and out of it again.
        """
        for module in self._modules().values():
            module.train(enabled)
        if enabled:
            self._parts.unet.enable_gradient_checkpointing()
        else:
            self._parts.unet.disable_gradient_checkpointing()
        for text in self._parts.texts.values():
            set_text_checkpointing(text.module, enabled)

    @property
    def _latent_scale(self) -> float:
        config: Any = self._parts.vae.config
        return config.scaling_factor

    def _modules(self) -> dict[Component, nn.Module]:
        return {"unet": self._parts.unet, **{c: text.module for c, text in self._parts.texts.items()}}

    def _added_cond(self, noisy: Tensor, cond: Cond, size: SizeCond | None) -> dict[str, Tensor]:
        assert cond.pooled is not None, "SDXL's cond has a pooled state"
        b, _, h, w = noisy.shape
        if size is None:
            whole = torch.tensor([[h, w]], device=noisy.device).expand(b, 2) * LATENT_FACTOR
            size = SizeCond(original=whole, crop=torch.zeros_like(whole), target=whole)
        numbers = torch.cat([size.original, size.crop, size.target], dim=1)
        return {"text_embeds": cond.pooled.to(self.dtype), "time_ids": numbers.to(noisy.device)}

    def _with_inpainting(self, noisy: Tensor) -> Tensor:
        """Adds what an inpainting UNet reads beside the latents: the mask and the picture under it.

        The mask is all ones and the picture gray, as in the WebUI's txt2img.
        """
        config: Any = self._parts.unet.config
        if config.in_channels != _INPAINTING_CHANNELS or noisy.shape[1] == _INPAINTING_CHANNELS:
            return noisy
        b, _, h, w = noisy.shape
        with torch.no_grad():
            gray = noisy.new_zeros(1, 3, h * LATENT_FACTOR, w * LATENT_FACTOR)
            under = self.encode_images(gray).to(noisy.dtype).expand(b, -1, -1, -1)
        return torch.cat([noisy, noisy.new_ones(b, 1, h, w), under], dim=1)


def _targets(modules: Mapping[Component, nn.Module]) -> dict[LayerName, tuple[Target, ...]]:
    found: dict[LayerName, tuple[Target, ...]] = {}
    for component, root in modules.items():
        for path, module in root.named_modules():
            if isinstance(getattr(module, "weight", None), nn.Parameter):
                layer = LayerName(component, path)
                found[layer] = (Target(layer, module),)
    return found
