"""Latents of samples: encoded once and kept in memory or on disk, or encoded anew each time.

A cache file's name is a hash of everything that decides its content: the bytes of the image and of its
mask, how they are resized, cropped and mirrored, and what the VAE makes of a probe picture. So an edited
image, another size or another VAE never meets an old file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from lib_lyco.errors import DataError, FileError, TrainingError
from lib_lyco.files.save import save_tensors
from lib_lyco.files.tensors import read_tensors
from lib_lyco.train.data.order import Sample
from lib_lyco.train.data.source import ImageSource, View, ordered_map
from lib_lyco.train.world import World

Encode = Callable[[Tensor], Tensor]
"""(b, 3, h, w) in [-1, 1] on the CPU -> scaled latents (b, 4, h/8, w/8)."""

_PROBE_SIDE = 64
_LATENTS, _MASK = "latents", "mask"


@dataclass(frozen=True)
class Encoded:
    """The encoded images of b samples, on the CPU."""

    latents: Tensor
    """(b, 4, h, w) float32, scaled."""
    mask: Tensor | None = None
    """(b, 1, h, w) float32 in [0, 1]; None if everything counts."""

    def part(self, part: slice) -> Encoded:
        """Some of the samples."""
        return Encoded(self.latents[part], None if self.mask is None else self.mask[part])


def stacked(pairs: Sequence[tuple[Tensor, Tensor | None]]) -> tuple[Tensor, Tensor | None]:
    """Tensors (c, ...) and masks (1, h, w) as batches; a mask that is missing beside others is all ones."""
    tensors, masks = zip(*pairs, strict=True)
    known = next((mask for mask in masks if mask is not None), None)
    if known is None:
        return torch.stack(tensors), None
    return torch.stack(tensors), torch.stack(
        [torch.ones_like(known) if mask is None else mask for mask in masks]
    )


class LatentSource(Protocol):
    """Gives the latents of batches."""

    at_most: int
    """Images that are encoded at a time; 0 is no limit."""

    def prepare(self) -> Iterator[tuple[int, int]]:
        """What must be done before the first batch; yields (done, total) as it goes."""
        ...

    def batches(self, batches: Iterable[Sequence[Sample]]) -> Iterator[Encoded]:
        """The latents and masks of each batch, in order; no more of them are asked for than workers read
        ahead."""
        ...

    def kept(self) -> LatentSource | None:
        """The same latents, encoded once before the first batch; None if they are so already, or images
        are new each time."""
        ...


class FreshLatents:
    """Encodes every sample when it is needed; images are read and cropped ahead by the workers."""

    def __init__(
        self, source: ImageSource, encode: Encode, workers: int = 0, world: World | None = None
    ) -> None:
        self._source = source
        self._encode = encode
        self.at_most = 0
        self._workers = workers
        self._world = world or World()

    def prepare(self) -> Iterator[tuple[int, int]]:
        return iter(())

    def batches(self, batches: Iterable[Sequence[Sample]]) -> Iterator[Encoded]:
        for pixels, mask in ordered_map(self._pixels, batches, self._workers):
            parts = pixels.split(self.at_most or len(pixels))
            yield Encoded(torch.cat([encoded(self._encode, part) for part in parts]), mask)

    def kept(self) -> LatentSource | None:
        if _changing(self._source):
            return None
        settings = CacheSettings(workers=self._workers, batch_size=self.at_most or 1, world=self._world)
        return CachedLatents(self._source, self._encode, settings)

    def _pixels(self, batch: Sequence[Sample]) -> tuple[Tensor, Tensor | None]:
        return stacked([self._sample(sample) for sample in batch])

    def _sample(self, sample: Sample) -> tuple[Tensor, Tensor | None]:
        source, index = self._source, sample.image
        picture, view = source.picture(index), source.view(sample)
        return source.pixels(picture, index, view), source.mask(picture, index, view)


@dataclass(frozen=True)
class _Job:
    """A view that is to be encoded."""

    key: tuple[int, bool]
    """Image, and whether it is mirrored."""
    file: Path | None
    """Where its latents are to be kept; None in memory."""
    pixels: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class CacheSettings:
    """How latents are kept."""

    folder: Path | None = None
    """Where to keep them for later runs; None keeps them in memory only."""
    workers: int = 0
    """Threads that read images ahead."""
    batch_size: int = 1
    """Pictures that the VAE encodes at a time."""
    world: World = World()
    """The processes that share the work."""


class CachedLatents:
    """Encodes every image (and its mirror image) once, before the first batch.

    Args:
        source: The images; nothing but their mirroring may be drawn.
        encode: The VAE.
        settings: How latents are kept.
    """

    def __init__(self, source: ImageSource, encode: Encode, settings: CacheSettings | None = None) -> None:
        assert not _changing(source), "these cannot be encoded once"
        self._source = source
        self._encode = encode
        self._settings = settings or CacheSettings()
        self.at_most = self._settings.batch_size
        self._fingerprint = b""
        self._memory: dict[tuple[int, bool], tuple[Tensor, Tensor | None]] = {}
        self._files: dict[tuple[int, bool], Path] = {}

    def prepare(self) -> Iterator[tuple[int, int]]:
        """As `LatentSource.prepare`.

        Raises:
            DataError: An image or a mask cannot be read.
            FileError: A cache file cannot be written.
            TrainingError: The VAE gives NaN or Inf.
        """
        source = self._source
        if self._settings.folder is not None:
            self._fingerprint = vae_fingerprint(self._encode)
        # neighbours of one bucket fit into one batch of the VAE
        order = sorted(range(len(source.records)), key=lambda index: source.placements[index].bucket)
        yield from self._encoded(self._settings.world.share(order))
        self._memory = self._settings.world.gathered(self._memory)
        self._files = self._settings.world.gathered(self._files)
        # what others have written on machines whose folder is not this one
        yield from self._encoded(
            sorted({index for (index, _), path in self._files.items() if not path.is_file()})
        )

    def _encoded(self, order: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Encodes what is missing of images; yields (done, total)."""
        waiting: list[_Job] = []
        for done, jobs in enumerate(ordered_map(self._jobs, order, self._settings.workers), start=1):
            for job in jobs:
                if waiting and job.pixels.shape != waiting[0].pixels.shape:
                    self._flush(waiting)
                waiting.append(job)
                if len(waiting) >= self.at_most:
                    self._flush(waiting)
            if done == len(order):
                self._flush(waiting)
            yield done, len(order)

    def batches(self, batches: Iterable[Sequence[Sample]]) -> Iterator[Encoded]:
        """As `LatentSource.batches`. Raises FileError if a cache file is gone or damaged meanwhile."""
        workers = self._settings.workers if self._files else 0
        for latents, mask in ordered_map(self._batch, batches, workers):
            yield Encoded(latents, mask)

    def kept(self) -> None:
        return None

    def _batch(self, batch: Sequence[Sample]) -> tuple[Tensor, Tensor | None]:
        return stacked([self._sample(sample) for sample in batch])

    def _sample(self, sample: Sample) -> tuple[Tensor, Tensor | None]:
        key = sample.image, self._source.view(sample).flipped
        if key in self._memory:
            return self._memory[key]
        parts = read_tensors(self._files[key])
        return parts[_LATENTS], parts.get(_MASK)

    def _jobs(self, index: int) -> list[_Job]:
        """What is still to be encoded of an image."""
        source = self._source
        missing: list[tuple[View, Path | None]] = []
        for view in source.kept_views(index):
            file = self._file(index, view)
            if file is not None:
                self._files[index, view.flipped] = file
            if not self._is_there((index, view.flipped), file):
                missing.append((view, file))
        if not missing:
            return []
        picture = source.picture(index)
        return [
            _Job(
                key=(index, view.flipped),
                file=file,
                pixels=source.pixels(picture, index, view),
                mask=source.mask(picture, index, view),
            )
            for view, file in missing
        ]

    def _is_there(self, key: tuple[int, bool], file: Path | None) -> bool:
        return key in self._memory if file is None else _is_whole(file)

    def _flush(self, waiting: list[_Job]) -> None:
        """Encodes and keeps what is waiting."""
        if not waiting:
            return
        found = encoded(self._encode, torch.stack([job.pixels for job in waiting]))
        for job, latents in zip(waiting, found, strict=True):
            if job.file is None:
                self._memory[job.key] = latents, job.mask
                continue
            masked = {} if job.mask is None else {_MASK: job.mask}
            save_tensors(job.file, {_LATENTS: latents, **masked}, {})
        waiting.clear()

    def _file(self, index: int, view: View) -> Path | None:
        folder, source = self._settings.folder, self._source
        if folder is None:
            return None
        digest = hashlib.blake2b(self._fingerprint, digest_size=20)
        options = source.records[index].subset
        way = options.resize_interpolation, options.alpha_mask, source.background
        digest.update(repr((source.placements[index], view, way)).encode())
        for path in source.files(index):
            digest.update(hashlib.blake2b(_bytes(path)).digest())
        return folder / f"{digest.hexdigest()}.safetensors"


def _changing(source: ImageSource) -> bool:
    """Whether images are new each time."""
    return any(record.subset.fresh_by for record in source.records)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError("An image cannot be read.", where=str(path), got=str(error)) from error


def _is_whole(path: Path) -> bool:
    """Whether a cache file is there and can be read, so that it need not be made anew."""
    if not path.is_file():
        return False
    try:
        return _LATENTS in read_tensors(path)
    except FileError:
        return False


def encoded(encode: Encode, pixels: Tensor) -> Tensor:
    """Latents (b, 4, h/8, w/8) of pixels (b, 3, h, w), float32 on the CPU.

    Raises:
        TrainingError: The VAE gives NaN or Inf.
    """
    with torch.no_grad():
        latents = encode(pixels).float().cpu()
    if not bool(torch.isfinite(latents).all()):
        raise TrainingError(
            "The VAE turns an image into NaN or Inf.",
            got=f"an image of {pixels.shape[-1]}x{pixels.shape[-2]}",
            expected="finite latents",
            remedy="Name another autoencoder in the option vae.",
        )
    return latents


def vae_fingerprint(encode: Encode) -> bytes:
    """What tells one VAE from another: its answer to a picture with colours, edges and gradients."""
    ramp = torch.linspace(-1, 1, _PROBE_SIDE)
    rows, columns = ramp[:, None].expand(-1, _PROBE_SIDE), ramp.expand(_PROBE_SIDE, -1)
    probe = torch.stack([rows, columns, (rows * columns > 0).float() * 2 - 1])[None]
    return hashlib.blake2b(encoded(encode, probe).numpy().tobytes(), digest_size=16).digest()
