"""The host's autoencoder, ldm's and sgm's, in float32 whatever the host draws with."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_LOGVAR_RANGE = (-30.0, 20.0)


def encode_images(vae: Any, images: Tensor, generator: torch.Generator | None) -> Tensor:
    """(b, 3, h, w) in [-1, 1] -> unscaled latents (b, 4, h/8, w/8) float32; the mean without a generator.

    The VAE's own layers are asked, not its `encode`: that is another function in ldm and in sgm, and with
    little GPU memory one of the host's.
    """
    with _in_float32(vae), torch.autocast(images.device.type, enabled=False):
        mean, logvar = vae.quant_conv(vae.encoder(images.float())).chunk(2, dim=1)
    if generator is None:
        return mean
    noise = torch.randn(mean.shape, generator=generator, device=generator.device).to(mean.device)
    return mean + torch.exp(0.5 * logvar.clamp(*_LOGVAR_RANGE)) * noise


def decode_latents(vae: Any, latents: Tensor) -> Tensor:
    """Latents (b, 4, h/8, w/8), not scaled -> pictures (b, 3, h, w) float32, not clipped."""
    with _in_float32(vae), torch.autocast(latents.device.type, enabled=False):
        return vae.decoder(vae.post_quant_conv(latents.float()))


@contextmanager
def _in_float32(vae: nn.Module) -> Generator[None]:
    """Within it weights are float32 copies; then the same memory as before is in use again."""
    halves = [(one, one.data) for one in vae.parameters() if one.dtype != torch.float32]
    try:
        for parameter, data in halves:
            parameter.data = data.float()
        yield
    finally:
        for parameter, data in halves:
            parameter.data = data
