"""The second stage: the decoder alone, for sharper pictures; latents and denoiser stay as they are."""

import logging
import math
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lib_lyco.demo.photographs import varied_crops
from lib_lyco.demo.pretrain.autoencoder import SCALE, Vae, to_tensor
from lib_lyco.demo.pretrain.data import Pictures
from lib_lyco.demo.pretrain.state import adamw, load_state, save_state

STEPS = 700
DRAWN_A_STEP = 2
PHOTOGRAPHS_A_STEP = 2
LEARNING_RATE = 4e-4
LATENT_NOISE = 0.03
SAVE_SECONDS = 120.0

log = logging.getLogger(__name__)


def refine_decoder(vae: Vae, pictures: Pictures, photos: int, folder: Path, deadline: float) -> bool:
    """Trains the decoder of a finished VAE in place, or continues, or loads the finished one.

    Args:
        vae: the whitened VAE of the first stage.
        pictures: the training set, photographs last.
        photos: how many of them are photographs; fresh crops are cut instead of them.
        folder: where the state is kept.
        deadline: ``time.monotonic()`` at which to stop.

    Returns:
        Whether the decoder is finished.
    """
    finished, unfinished = folder / "decoder.pt", folder / "decoder_state.pt"
    if finished.exists():
        vae.decoder.load_state_dict(load_state(finished)["model"])
        return True
    decoder = vae.decoder.requires_grad_(True)
    optimiser = adamw(decoder.parameters(), LEARNING_RATE, 0.01)
    step = 0
    if unfinished.exists():
        state = load_state(unfinished)
        decoder.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step = int(state["step"])
    saved, total = time.monotonic(), 0.0
    while step < STEPS:
        total += _step(vae, optimiser, to_tensor(_batch(pictures, photos, step)), step)
        step += 1
        now = time.monotonic()
        if step % 50 == 0:
            log.info("decoder step %d of %d, loss %.4f", step, STEPS, total / 50)
            total = 0.0
        if now - saved > SAVE_SECONDS or now > deadline:
            saved = now
            state = {"model": decoder.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
            save_state(unfinished, state)
        if now > deadline:
            return False
    decoder.requires_grad_(False)
    save_state(finished, {"model": decoder.state_dict()})
    return True


def _batch(pictures: Pictures, photos: int, step: int) -> NDArray[np.uint8]:
    """Drawn pictures and fresh crops ``(4, 64, 64, 3)``, a function of the step alone."""
    rng = np.random.default_rng([3, step])
    drawn = pictures.pixels[rng.integers(0, len(pictures.captions) - photos, DRAWN_A_STEP)]
    return np.concatenate([drawn, varied_crops(PHOTOGRAPHS_A_STEP, rng)])


def _step(vae: Vae, optimiser: torch.optim.Optimizer, images: torch.Tensor, step: int) -> float:
    """One update of the decoder on ``images`` ``(b, 3, h, w)``."""
    rate = LEARNING_RATE * min(1.0, (step + 1) / 50) * (1 + math.cos(math.pi * step / STEPS)) / 2
    for group in optimiser.param_groups:
        group["lr"] = rate
    with torch.no_grad():
        latents = vae.encode(images).latent_dist.mode()
        latents = latents + LATENT_NOISE / SCALE * torch.randn(
            latents.shape, generator=torch.Generator().manual_seed(step)
        )
    output = vae.decode(latents).sample
    loss = functional.l1_loss(output, images) + functional.mse_loss(output, images)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(vae.decoder.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())
