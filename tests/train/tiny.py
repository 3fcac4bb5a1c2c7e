"""A base model small enough to train in a blink: diffusers' UNet and transformers' CLIP with SD1's
layout and layer names, and a linear map in place of the VAE. Weights are random: it proves plumbing.
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel

from lib_lyco.models.base import PLAIN_TEXT, Cond, NoiseSchedule, Prediction, SizeCond, TextStyle
from lib_lyco.models.target import Target, Targets
from lib_lyco.models.text import set_text_checkpointing
from lib_lyco.naming.layer import Component, Family, LayerName
from lib_lyco.train.config import TrainConfig

WIDTH = 16
TOKENS = 8
VOCABULARY = 64


class TinyModel:
    """Implements `lib_lyco.models.base.BaseModel`."""

    family: Family = "sd1"
    name = "tiny"
    device = torch.device("cpu")

    def __init__(self, prediction: Prediction = "epsilon", dtype: torch.dtype = torch.float32) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            self.unet: Any = UNet2DConditionModel(
                block_out_channels=(WIDTH, WIDTH, WIDTH, WIDTH),
                cross_attention_dim=WIDTH,
                attention_head_dim=2,
                norm_num_groups=4,
                sample_size=8,
            )
            self.text: Any = CLIPTextModel(
                CLIPTextConfig(
                    vocab_size=VOCABULARY,
                    hidden_size=WIDTH,
                    intermediate_size=2 * WIDTH,
                    num_hidden_layers=2,
                    num_attention_heads=2,
                    max_position_embeddings=TOKENS,
                )
            )
            self.to_latents = torch.randn(4, 3 * 64) / 64
        self.dtype = dtype
        self.unet.to(dtype)
        self.text.to(dtype)
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
        self.schedule = NoiseSchedule(torch.cumprod(1 - betas, dim=0), prediction)

    def component(self, component: Component) -> nn.Module | None:
        return {"unet": self.unet, "te1": self.text}.get(component)

    def targets(self) -> Targets:
        found: dict[LayerName, tuple[Target, ...]] = {}
        modules: tuple[tuple[Component, nn.Module], ...] = (("te1", self.text), ("unet", self.unet))
        for component, root in modules:
            for path, module in root.named_modules():
                if isinstance(getattr(module, "weight", None), nn.Parameter):
                    text_path = path if path.startswith("text_model.") else f"text_model.{path}"
                    layer = LayerName(component, path if component == "unet" else text_path)
                    found[layer] = (Target(layer, module),)
        return found

    def encode_images(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        del generator
        patches = functional.pixel_unshuffle(images, 8)
        return torch.einsum("lp,bphw->blhw", self.to_latents, patches)

    def decode_latents(self, latents: Tensor) -> Tensor:
        raise NotImplementedError

    def encode_prompts(
        self,
        prompts: Sequence[str],
        clip_skip: int = 1,
        style: TextStyle = PLAIN_TEXT,
        second: Sequence[str] | None = None,
    ) -> Cond:
        del style, second
        tokens = torch.tensor([self._tokens(prompt) for prompt in prompts])
        states = self.text(tokens, output_hidden_states=True).hidden_states
        return Cond(states[-clip_skip])

    @staticmethod
    def _tokens(prompt: str) -> list[int]:
        words = [1 + sum(word.encode()) % (VOCABULARY - 2) for word in prompt.split()]
        return (words + [VOCABULARY - 1] * TOKENS)[:TOKENS]

    def predict(self, noisy: Tensor, timesteps: Tensor, cond: Cond, size: SizeCond | None = None) -> Tensor:
        del size
        return self.unet(noisy, timesteps, encoder_hidden_states=cond.states).sample

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        for part in (self.unet, self.text):
            part.train(enabled)
        if enabled:
            self.unet.enable_gradient_checkpointing()
        else:
            self.unet.disable_gradient_checkpointing()
        # before 4.35, as in the WebUI, transformers only has the reentrant kind, which drops gradients
        if signature(self.text.gradient_checkpointing_enable).parameters:
            set_text_checkpointing(self.text, enabled)


def tiny_config(images: Path, output: Path, /, **values: object) -> TrainConfig:
    """Options of a run that the tiny model makes in seconds; `values` come before them."""
    options: dict[str, object] = {
        "images": str(images),
        "resolution": (64, 64),
        "bucket_min": 32,
        "bucket_max": 128,
        "bucket_step": 16,
        "rank": 4,
        "alpha": 2.0,
        "epochs": 1,
        "learning_rate": 1e-2,
        "output": str(output),
        "save_precision": "fp32",
        "allow_untagged": True,
        "seed": 7,
    }
    return TrainConfig(**{**options, **values})  # type: ignore[arg-type]
