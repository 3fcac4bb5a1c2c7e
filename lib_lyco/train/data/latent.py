"""Latents of samples: encoded once and kept in memory or on disk, or encoded anew each time.

A cache file's name is a hash of everything that decides its content: the decoded pixels, the size
they are resized to, the crop, the mirroring, and what the VAE makes of a probe picture. So an edited
image, another size or another VAE never meets an old file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from lib_lyco.errors import FileError, TrainingError
from lib_lyco.files.save import save_tensors
from lib_lyco.files.tensors import read_tensors
from lib_lyco.train.data.order import Sample
from lib_lyco.train.data.source import ImageSource, View, ordered_map

Encode = Callable[[Tensor], Tensor]
"""(b, 3, h, w) in [-1, 1] on the CPU -> scaled latents (b, 4, h/8, w/8)."""

_PROBE_SIDE = 64
_PART = "latents"


class LatentSource(Protocol):
    """Gives the latents of batches."""

    def prepare(self) -> Iterator[tuple[int, int]]:
        """What must be done before the first batch; yields (done, total) as it goes."""
        ...

    def batches(self, batches: Sequence[Sequence[Sample]]) -> Iterator[Tensor]:
        """The latents (b, 4, h, w) of each batch, float32 on the CPU, in order."""
        ...


class FreshLatents:
    """Encodes every sample when it is needed; images are read and cropped ahead by the workers."""

    def __init__(self, source: ImageSource, encode: Encode, workers: int = 0) -> None:
        self._source = source
        self._encode = encode
        self._workers = workers

    def prepare(self) -> Iterator[tuple[int, int]]:
        return iter(())

    def batches(self, batches: Sequence[Sequence[Sample]]) -> Iterator[Tensor]:
        for pixels in ordered_map(self._pixels, batches, self._workers):
            yield encoded(self._encode, pixels)

    def _pixels(self, batch: Sequence[Sample]) -> Tensor:
        source = self._source
        return torch.stack(
            [
                source.pixels(source.image(sample.image), sample.image, source.view(sample))
                for sample in batch
            ]
        )


class CachedLatents:
    """Encodes every image (and its mirror image) once, before the first batch.

    Args:
        source: The images; its crops must not be random.
        encode: The VAE.
        folder: Where to keep latents for later runs; None keeps them in memory only.
        workers: Threads that read images ahead.
    """

    def __init__(
        self, source: ImageSource, encode: Encode, folder: Path | None = None, workers: int = 0
    ) -> None:
        assert not source.random_crop, "a random crop cannot be encoded once"
        self._source = source
        self._encode = encode
        self._folder = folder
        self._workers = workers
        self._kept: dict[tuple[int, bool], Tensor] = {}

    def prepare(self) -> Iterator[tuple[int, int]]:
        source = self._source
        total = len(source.records)
        fingerprint = vae_fingerprint(self._encode) if self._folder is not None else b""
        images = ordered_map(source.image, range(total), self._workers)
        for index, image in enumerate(images):
            for flipped in (False, True) if source.flip else (False,):
                view = View(source.placements[index].centre, flipped)
                self._kept[index, flipped] = self._latents(image, index, view, fingerprint)
            yield index + 1, total

    def batches(self, batches: Sequence[Sequence[Sample]]) -> Iterator[Tensor]:
        for batch in batches:
            views = [self._source.view(sample) for sample in batch]
            yield torch.stack(
                [self._kept[sample.image, view.flipped] for sample, view in zip(batch, views, strict=True)]
            )

    def _latents(self, image: Image.Image, index: int, view: View, fingerprint: bytes) -> Tensor:
        path = (
            None
            if self._folder is None
            else self._folder / self._file_name(image, index, view, fingerprint)
        )
        kept = _read_kept(path) if path is not None else None
        if kept is not None:
            return kept
        latents = encoded(self._encode, self._source.pixels(image, index, view)[None])[0]
        if path is not None:
            save_tensors(path, {_PART: latents}, {})
        return latents

    def _file_name(self, image: Image.Image, index: int, view: View, fingerprint: bytes) -> str:
        digest = hashlib.blake2b(fingerprint, digest_size=20)
        digest.update(repr((image.size, self._source.placements[index], view)).encode())
        digest.update(image.tobytes())
        return f"{digest.hexdigest()}.safetensors"


def _read_kept(path: Path) -> Tensor | None:
    """A latent from the cache; None if it is not there or not whole, so that it is made anew."""
    if not path.is_file():
        return None
    try:
        return read_tensors(path).get(_PART)
    except FileError:
        return None


def encoded(encode: Encode, pixels: Tensor) -> Tensor:
    """Latents (b, 4, h/8, w/8) of pixels (b, 3, h, w), float32 on the CPU.

    Raises:
        TrainingError: The VAE gives NaN or Inf, as SDXL's does in fp16.
    """
    with torch.no_grad():
        latents = encode(pixels).float().cpu()
    if not bool(torch.isfinite(latents).all()):
        raise TrainingError(
            "The VAE turns an image into NaN or Inf.",
            got=f"an image of {pixels.shape[-1]}x{pixels.shape[-2]}",
            expected="finite latents",
            remedy="Load the base model with its VAE in fp32 or bf16.",
        )
    return latents


def vae_fingerprint(encode: Encode) -> bytes:
    """What tells one VAE from another: its answer to a picture with colours, edges and gradients."""
    ramp = torch.linspace(-1, 1, _PROBE_SIDE)
    rows, columns = ramp[:, None].expand(-1, _PROBE_SIDE), ramp.expand(_PROBE_SIDE, -1)
    probe = torch.stack([rows, columns, (rows * columns > 0).float() * 2 - 1])[None]
    return hashlib.blake2b(encoded(encode, probe).numpy().tobytes(), digest_size=16).digest()
