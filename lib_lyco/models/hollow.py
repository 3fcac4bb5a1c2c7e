"""A base model without its weights: all modules, names and shapes, on torch's `meta` device.

It computes nothing but shapes, so it tells in a moment what a run will train and how much memory that
takes. Of a safetensors checkpoint only the header is read.
"""

from __future__ import annotations

from dataclasses import fields
from typing import cast

import torch
from torch import Tensor, nn

from lib_lyco.models.base import NoiseSchedule
from lib_lyco.models.build import build_text, build_unet, build_vae
from lib_lyco.models.checkpoint import Checkpoint
from lib_lyco.models.diffusers_model import DiffusersModel, Parts
from lib_lyco.models.plan import is_open_clip
from lib_lyco.models.schedule import scaled_linear_alphas
from lib_lyco.models.sources import Part
from lib_lyco.models.text import TextEncoder
from lib_lyco.models.tokenizer import EOS, clip_tokenizer
from lib_lyco.naming.layer import Component

_META = torch.device("meta")
_OPEN_CLIP_PAD = 0


class _Weightless(Checkpoint):
    """A checkpoint whose weights are shapes."""

    def weights(self, part: Part, dtype: torch.dtype) -> dict[str, Tensor]:
        return {
            name: torch.empty(source.shape, dtype=dtype, device=_META)
            for name, source in self.sources[part].items()
        }


def hollow_model(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> DiffusersModel:
    """The model of a checkpoint as `load_model` would make it in `dtype`, without weights.

    Where the file does not say what the denoiser predicts, which only its weights tell, it is epsilon.

    Raises:
        MissingPackageError: CLIP's vocabulary is not installed.
    """
    shapes = _Weightless(**{one.name: getattr(checkpoint, one.name) for one in fields(checkpoint)})
    family, settings = checkpoint.plan.family, checkpoint.settings
    texts: dict[Component, TextEncoder] = {}
    for component in checkpoint.plan.texts:
        tokenizer = clip_tokenizer(_OPEN_CLIP_PAD if is_open_clip(family, component) else EOS)
        texts[component] = TextEncoder(build_text(shapes, component, dtype), tokenizer)
        module = cast(nn.Module, texts[component].module)
        module.to(_META)  # the positions' numbers, which no file has
    parts = Parts(build_unet(shapes, dtype), build_vae(shapes), texts)
    alphas = scaled_linear_alphas(settings.beta_range, settings.num_timesteps)
    schedule = NoiseSchedule(alphas, settings.prediction or "epsilon")
    return DiffusersModel(checkpoint.name, family, parts, schedule)
