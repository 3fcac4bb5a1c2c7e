"""A base model from one file, or from a folder in diffusers' layout."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn

from lib_lyco.models.autoencoder import read_autoencoder
from lib_lyco.models.base import NoiseSchedule, Prediction
from lib_lyco.models.build import build_text, build_unet, build_vae, guess_prediction
from lib_lyco.models.checkpoint import open_checkpoint
from lib_lyco.models.diffusers_model import DiffusersModel, Parts
from lib_lyco.models.plan import is_open_clip
from lib_lyco.models.schedule import scaled_linear_alphas, with_zero_terminal_snr
from lib_lyco.models.text import TextEncoder
from lib_lyco.models.tokenizer import EOS, clip_tokenizer
from lib_lyco.naming.layer import Component

_OPEN_CLIP_PAD = 0


def load_model(
    path: str | os.PathLike[str],
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    prediction: Prediction | None = None,
    vae: str | os.PathLike[str] | None = None,
) -> DiffusersModel:
    """Loads an SD1, SD2 or SDXL base model from a .safetensors or .ckpt file, or from a folder in
    diffusers' layout; nothing is downloaded.

    Args:
        dtype: Of denoiser and text encoders; the autoencoder is always float32.
        prediction: What the denoiser predicts, where the file says nothing or the wrong thing.
        vae: File of another autoencoder than the base model's own.

    Raises:
        FileError: The file cannot be read or is damaged.
        UnsafeFileError: It asks for code to be run.
        ModelError: It is not a whole base model of these families; the message says what it is.
        MissingPackageError: CLIP's vocabulary is not installed.
    """
    checkpoint = open_checkpoint(Path(path), prediction)
    family, settings = checkpoint.plan.family, checkpoint.settings
    device = torch.device(device)
    unet = build_unet(checkpoint, dtype)
    channels = checkpoint.plan.vae.latent_channels
    autoencoder = build_vae(checkpoint, read_autoencoder(Path(vae), channels) if vae else None)
    texts: dict[Component, TextEncoder] = {}
    for component in checkpoint.plan.texts:
        tokenizer = clip_tokenizer(_OPEN_CLIP_PAD if is_open_clip(family, component) else EOS)
        texts[component] = TextEncoder(build_text(checkpoint, component, dtype), tokenizer)
    modules: list[nn.Module] = [unet, autoencoder, *(text.module for text in texts.values())]
    for module in modules:
        module.to(device)
    alphas = scaled_linear_alphas(settings.beta_range, settings.num_timesteps)
    if settings.zero_terminal_snr:
        alphas = with_zero_terminal_snr(alphas)
    schedule = NoiseSchedule(alphas.to(device), settings.prediction or guess_prediction(unet))
    return DiffusersModel(checkpoint.name, family, Parts(unet, autoencoder, texts), schedule)
