"""An autoencoder (VAE) from a file of its own: .safetensors, .pt or .ckpt in the layout of checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lib_lyco.errors import ModelError
from lib_lyco.files.tensors import read_tensors
from lib_lyco.models.plan import vae_plan
from lib_lyco.models.sources import vae_sources
from lib_lyco.models.vae_layers import VAE_ROOT, VaePlan

_EXPECTED = "an autoencoder of SD1, SD2 or SDXL, with keys like decoder.conv_in.weight"
_UNREAD = (f"{VAE_ROOT}.loss.", f"{VAE_ROOT}.model_ema.")


@dataclass(frozen=True)
class Autoencoder:
    """An autoencoder's numbers and parameters."""

    plan: VaePlan
    weights: dict[str, Tensor]
    """float32, by their names in diffusers' `AutoencoderKL`."""


def read_autoencoder(path: Path, latent_channels: int) -> Autoencoder:
    """Reads the autoencoder of a file; a whole base model's serves too.

    Args:
        path: The file.
        latent_channels: Channels of the latents that the denoiser works on.

    Raises:
        FileError: The file cannot be read or is damaged.
        UnsafeFileError: It asks for code to be run.
        ModelError: It holds no autoencoder, or one for other latents.
    """
    tensors = read_tensors(path)
    if not any(key.startswith(f"{VAE_ROOT}.") for key in tensors):
        tensors = {f"{VAE_ROOT}.{key}": tensor for key, tensor in tensors.items()}
    try:
        plan = vae_plan({key: tuple(tensor.shape) for key, tensor in tensors.items()})
    except (KeyError, IndexError) as error:
        raise _not_one(path, f"no tensor {error.args[0]}") from error
    sources = dict(vae_sources(plan))
    wanted = {source.key for source in sources.values()}
    found = {key for key in tensors if key.startswith(f"{VAE_ROOT}.") and not key.startswith(_UNREAD)}
    if found != wanted:
        kind = "missing" if wanted - found else "unexpected"
        raise _not_one(path, f"{kind}: {', '.join(sorted(wanted - found or found - wanted)[:8])}")
    if plan.latent_channels != latent_channels:
        raise ModelError(
            "The autoencoder is for other base models",
            where=str(path),
            got=f"latents of {plan.latent_channels} channels",
            expected=f"{latent_channels}",
        )
    weights = {
        name: source.fit(tensors[source.key], path, torch.float32) for name, source in sources.items()
    }
    return Autoencoder(plan, weights)


def _not_one(path: Path, got: str) -> ModelError:
    return ModelError(
        "The file is no autoencoder that can be used here",
        where=str(path),
        got=got,
        expected=_EXPECTED,
        remedy="Choose another file, or none: the base model has an autoencoder of its own.",
    )
