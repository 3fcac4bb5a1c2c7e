"""Images into latents, in full or half precision."""

from __future__ import annotations

import torch
from torch import Tensor

from lib_lyco.models.base import BaseModel
from lib_lyco.train.transfer import moved


class ImageEncoder:
    """Encodes images with a base model's autoencoder.

    In half precision an image whose latents are not finite, as SDXL's autoencoder gives them in fp16, is
    encoded again in full precision.
    """

    def __init__(self, model: BaseModel, dtype: torch.dtype) -> None:
        self._model = model
        self._dtype = dtype
        self._device = model.device  # its denoiser may be elsewhere while images are encoded

    def __call__(self, images: Tensor) -> Tensor:
        """(b, 3, h, w) in [-1, 1] on the CPU -> scaled latents (b, 4, h/8, w/8) on the model's device."""
        images = moved(images, self._device)
        if self._dtype == torch.float32:
            return self._model.encode_images(images)
        with torch.autocast(self._device.type, self._dtype):
            latents = self._model.encode_images(images)
        finite = torch.isfinite(latents).flatten(1).all(dim=1)
        if not bool(finite.all()):
            latents[~finite] = self._model.encode_images(images[~finite]).to(latents.dtype)
        return latents
