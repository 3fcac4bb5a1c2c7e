"""The first stage: an 8x VAE of SD1's layout, small, with whitened latents."""

import logging
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from numpy.typing import NDArray
from torch.nn import functional

from lib_lyco.demo.pretrain.data import Pictures
from lib_lyco.demo.pretrain.state import adamw, load_state, save_state

STEPS = 3_000
CROP_SHARE = 0.4
PHOTO_SHARE = 0.25
LEARNING_RATE = 1e-3
KL_WEIGHT = 1e-6
SCALE = 0.18215
SAVE_SECONDS = 120.0

Vae = Any
"""diffusers' AutoencoderKL, whose own annotations claim tuples of one and outputs without members."""

log = logging.getLogger(__name__)


def build_vae() -> Vae:
    """The VAE before training: log-variance starts at -7, or it learns nothing for long."""
    build: Any = AutoencoderKL
    vae = build(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(64, 64, 64, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=32,
        sample_size=64,
        scaling_factor=SCALE,
    )
    with torch.no_grad():
        vae.quant_conv.weight[4:] = 0
        vae.quant_conv.bias[4:] = -7
    return vae


def to_tensor(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """RGB bytes ``(b, h, w, 3)`` to ``(b, 3, h, w)`` in -1..1."""
    tensor = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2)
    return (tensor.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def _batch(pictures: Pictures, photos: int, step: int) -> torch.Tensor:
    """The step's pictures: 16 crops of 32 px early, then 4 whole ones; a function of the step alone."""
    rng = np.random.default_rng([1, step])
    small = step < STEPS * CROP_SHARE
    count = 16 if small else 4
    total = len(pictures.captions)
    first_photo = total - photos
    picks = np.where(
        rng.random(count) < PHOTO_SHARE,
        rng.integers(first_photo, total, count),
        rng.integers(0, first_photo, count),
    )
    pixels = pictures.pixels[picks]
    if small:
        corners = rng.integers(0, 33, (count, 2))
        pixels = np.stack([p[y : y + 32, x : x + 32] for p, (y, x) in zip(pixels, corners, strict=True)])
    return to_tensor(pixels)


def train_vae(pictures: Pictures, photos: int, folder: Path, deadline: float) -> Vae | None:
    """Trains or continues the VAE; whitens it at the end.

    Args:
        pictures: the training set, photographs last.
        photos: how many of them are photographs.
        folder: where the state is kept.
        deadline: ``time.monotonic()`` at which to stop.

    Returns:
        The finished VAE, or None when the deadline came first.
    """
    torch.manual_seed(1)
    vae = build_vae().to(memory_format=torch.channels_last)
    finished = folder / "vae.pt"
    if finished.exists():
        vae.load_state_dict(load_state(finished)["model"])
        return vae.eval().requires_grad_(False)
    optimiser = adamw(vae.parameters(), LEARNING_RATE, 1e-4)
    step = 0
    if (folder / "vae_state.pt").exists():
        state = load_state(folder / "vae_state.pt")
        vae.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step = int(state["step"])
    saved = started = time.monotonic()
    first = step
    while step < STEPS:
        loss = _vae_step(vae, optimiser, _batch(pictures, photos, step), step)
        step += 1
        now = time.monotonic()
        if step % 100 == 0:
            log.info("vae step %d loss %.4f, %.2f steps/s", step, loss, (step - first) / (now - started))
        if now - saved > SAVE_SECONDS or now > deadline:
            saved = now
            state = {"model": vae.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
            save_state(folder / "vae_state.pt", state)
        if now > deadline:
            return None
    vae.eval().requires_grad_(False)
    whiten(vae, pictures)
    save_state(finished, {"model": vae.state_dict()})
    return vae


def _vae_step(vae: Vae, optimiser: torch.optim.Optimizer, images: torch.Tensor, step: int) -> float:
    """One update on ``images`` ``(b, 3, h, w)``; the loss is L1 + MSE + a little KL."""
    rate = (
        LEARNING_RATE
        * min(1.0, (step + 1) / 100)
        * (0.01 + 0.99 * (1 + math.cos(math.pi * step / STEPS)) / 2)
    )
    for group in optimiser.param_groups:
        group["lr"] = rate
    posterior = vae.encode(images).latent_dist
    generator = torch.Generator().manual_seed(step)
    output = vae.decode(posterior.sample(generator)).sample
    error = functional.l1_loss(output, images) + functional.mse_loss(output, images)
    loss = error + KL_WEIGHT * posterior.kl().mean()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
    optimiser.step()
    return float(error.detach())


@torch.no_grad()
def encode_all(vae: Vae, pixels: NDArray[np.uint8]) -> torch.Tensor:
    """Means of the latents of ``(n, h, w, 3)`` bytes, unscaled, ``(n, 4, h/8, w/8)``."""
    with torch.autocast("cpu", torch.bfloat16):
        parts = [
            vae.encode(to_tensor(pixels[i : i + 64])).latent_dist.mode() for i in range(0, len(pixels), 64)
        ]
    return torch.cat([part.float() for part in parts]).contiguous()


@torch.no_grad()
def whiten(vae: Vae, pictures: Pictures) -> None:
    """Folds each latent channel's mean and deviation into the two 1x1 convolutions.

    Afterwards ``SCALE * latent`` has zero mean and unit variance per channel.
    """
    stride = max(1, len(pictures.captions) // 2048)
    latents = encode_all(vae, pictures.pixels[::stride])
    mean = latents.mean((0, 2, 3))
    spread = latents.std((0, 2, 3)) * SCALE
    quant, post = vae.quant_conv, vae.post_quant_conv
    post.bias += post.weight[:, :, 0, 0] @ mean
    post.weight *= spread[None, :, None, None]
    quant.weight[:4] /= spread[:, None, None, None]
    quant.bias[:4] = (quant.bias[:4] - mean) / spread
    quant.bias[4:] -= 2 * spread.log()
