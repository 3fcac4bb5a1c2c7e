"""Noise, latents and pictures. The stand-in's autoencoder is a matrix: no network changes the real one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

FACTOR = 8
_RGB = torch.tensor([[0.5, -0.2, 0.3], [0.3, 0.4, -0.3], [-0.2, 0.5, 0.4], [0.4, 0.3, 0.5]])
"""(4, 3)"""


def noise_of(seeds: Sequence[int], height: int, width: int) -> Tensor:
    """(b, 4, h, w): each picture's from its own seed."""
    shape = (4, height // FACTOR, width // FACTOR)
    return torch.stack(
        [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )


def to_pictures(latents: Tensor) -> list[Image.Image]:
    """(b, 4, h, w) -> pictures."""
    colours = (latents.permute(0, 2, 3, 1) @ _RGB / 2 + 0.5).clamp(0, 1)
    large = colours.repeat_interleave(FACTOR, 1).repeat_interleave(FACTOR, 2)
    return [Image.fromarray(picture) for picture in (large * 255).to(torch.uint8).numpy()]


def to_latents(picture: Image.Image, height: int, width: int) -> Tensor:
    """(4, h, w) of a picture brought to this size."""
    small = picture.convert("RGB").resize((width // FACTOR, height // FACTOR))
    colours = torch.tensor(np.asarray(small) / 255.0, dtype=torch.float32) * 2 - 1
    return (colours @ torch.linalg.pinv(_RGB)).permute(2, 0, 1)
