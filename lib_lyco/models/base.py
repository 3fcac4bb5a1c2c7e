"""What training and generation need of a base model, whoever provides it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from lib_lyco.errors import ModelError
from lib_lyco.models.target import Targets
from lib_lyco.naming.layer import Component, Family

LATENT_FACTOR = 8
"""Pixels along a side of one position of the latents."""

Prediction = Literal["epsilon", "v"]


@dataclass(frozen=True)
class Cond:
    """Encoded text handed to the denoiser."""

    states: Tensor
    """(b, n, d): one row per token position."""
    pooled: Tensor | None = None
    """(b, p), SDXL only."""


@dataclass(frozen=True)
class TextStyle:
    """How a text becomes conds where there is more than one way."""

    chunks: Literal["webui", "kohya"] = "webui"
    """What is done with more than 75 tokens. `webui`: chunks end at a comma where one is near, and all 77
    states of each are kept; `kohya`: chunks of exactly 75, joined without the marks between them."""
    weights: Literal["off", "webui", "kohya"] = "off"
    """What brackets mean. `webui`: states are multiplied, then brought back to their former mean (the
    WebUI's emphasis `Original`); `kohya`: only multiplied (`No norm`)."""
    max_tokens: int | None = None
    """Tokens read, a multiple of 75; None reads all."""


PLAIN_TEXT = TextStyle()


@dataclass(frozen=True)
class SizeCond:
    """SDXL's size conditioning; sizes are (height, width) pairs in pixels, one row per image."""

    original: Tensor
    """(b, 2) size before resizing."""
    crop: Tensor
    """(b, 2) top, left of the crop."""
    target: Tensor
    """(b, 2) size trained or generated."""


@dataclass(frozen=True)
class NoiseSchedule:
    """The forward process: x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps."""

    alphas_cumprod: Tensor
    """(T,) float32, abar_t for t = 0 .. T-1."""
    prediction: Prediction
    """What the denoiser predicts: eps, or v = sqrt(abar) eps - sqrt(1 - abar) x_0."""


class BaseModel(Protocol):
    """A loaded Stable Diffusion model. All tensors it takes and returns live on `device`."""

    @property
    def family(self) -> Family: ...

    @property
    def name(self) -> str: ...

    @property
    def schedule(self) -> NoiseSchedule: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype:
        """Compute dtype of denoiser and text encoders."""
        ...

    def component(self, component: Component) -> nn.Module | None:
        """The denoiser or a text encoder as a module (train/eval, requires_grad); None if absent."""
        ...

    def targets(self) -> Targets:
        """Every parametrised layer by canonical name."""
        ...

    def encode_images(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(b, 3, h, w) in [-1, 1] -> scaled latents (b, 4, h/8, w/8); the mode without a generator."""
        ...

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Scaled latents (b, 4, h/8, w/8) -> images (b, 3, h, w) in [-1, 1]."""
        ...

    def encode_prompts(
        self,
        prompts: Sequence[str],
        clip_skip: int = 1,
        style: TextStyle = PLAIN_TEXT,
        second: Sequence[str] | None = None,
    ) -> Cond:
        """Tokenise and encode; differentiable where gradients are enabled.

        `second` is what SDXL's second text encoder reads, where that is not the same.
        """
        ...

    def predict(self, noisy: Tensor, timesteps: Tensor, cond: Cond, size: SizeCond | None = None) -> Tensor:
        """The denoiser's raw output, (b, 4, h/8, w/8), for timesteps (b,)."""
        ...

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Trade time for memory in the denoiser and text encoders; results stay the same."""
        ...


class Hollow(BaseModel, Protocol):
    """A base model without weights, on torch's `meta` device: its passes make shapes."""

    @property
    def vae(self) -> nn.Module:
        """The autoencoder."""
        ...


def demand_latent_size(images: Tensor) -> None:
    """Refuses images (b, 3, h, w) that an autoencoder would not give back in their size.

    Raises:
        ModelError: A side is not a multiple of 8.
    """
    height, width = images.shape[-2:]
    if width % LATENT_FACTOR or height % LATENT_FACTOR:
        raise ModelError(
            "The size of a picture does not fit the autoencoder",
            got=f"{width}x{height}",
            expected=f"multiples of {LATENT_FACTOR}",
        )
