"""Half precision in the autoencoder, and what happens where it overflows."""

from __future__ import annotations

import torch
from torch import Tensor

from lib_lyco.train.data.encoder import ImageEncoder
from tests.train.tiny import TinyModel


class Overflowing(TinyModel):
    """Its autoencoder, as SDXL's, gives NaN for bright pictures in half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, bool]] = []

    def encode_images(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        latents = super().encode_images(images, generator)
        half = latents.dtype != torch.float32
        self.asked.append((len(images), half))
        if half:
            latents[images.mean(dim=(1, 2, 3)) > 0.5] = torch.nan
        return latents


def test_full_precision_asks_once() -> None:
    model, images = Overflowing(), torch.rand(2, 3, 16, 16)
    assert torch.equal(ImageEncoder(model, torch.float32)(images), TinyModel().encode_images(images))
    assert model.asked == [(2, False)]


def test_half_precision_is_near_full() -> None:
    model, images = Overflowing(), torch.rand(2, 3, 16, 16) - 0.5
    found = ImageEncoder(model, torch.bfloat16)(images)
    assert model.asked == [(2, True)]
    expected = TinyModel().encode_images(images)
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.02)
    assert not torch.equal(found.float(), expected)


def test_only_images_that_overflow_are_encoded_again_in_full() -> None:
    model = Overflowing()
    images = torch.stack([torch.full((3, 16, 16), 0.2), torch.ones(3, 16, 16)])
    found = ImageEncoder(model, torch.bfloat16)(images).float()
    assert model.asked == [(2, True), (1, False)]
    torch.testing.assert_close(found, TinyModel().encode_images(images), rtol=0.02, atol=0.02)
