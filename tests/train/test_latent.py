"""Latents: kept by content, encoded once, never stale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from lib_lyco.errors import TrainingError
from lib_lyco.train.data.bucket import Bucketing
from lib_lyco.train.data.latent import CachedLatents, FreshLatents
from lib_lyco.train.data.order import Sample
from lib_lyco.train.data.record import scan_folder
from lib_lyco.train.data.source import ImageSource, View, ordered_map
from lib_lyco.train.options.subset import SubsetOptions


class Vae:
    """Counts what it encodes."""

    def __init__(self, scale: float = 1.0) -> None:
        self.num_images = 0
        self._to_latents = torch.randn(4, 192, generator=torch.Generator().manual_seed(0)) * scale

    def __call__(self, images: Tensor) -> Tensor:
        self.num_images += images.shape[-1] != 64 or images.shape[-2] != 64  # the probe is 64x64
        return torch.einsum("lp,bphw->blhw", self._to_latents, functional.pixel_unshuffle(images, 8))


def make_source(folder: Path, resolution: tuple[int, int] = (32, 32), flip: bool = False) -> ImageSource:
    scan = scan_folder(folder, SubsetOptions(repeats=1))
    placements = Bucketing(resolution, enabled=False).placements([record.size for record in scan.records])
    return ImageSource(scan.records, placements, seed=0, flip=flip)


def latents(source: ImageSource, vae: Callable[[Tensor], Tensor], folder: Path | None) -> Tensor:
    cache = CachedLatents(source, vae, folder)
    assert list(cache.prepare())[-1] == (len(source.records), len(source.records))
    (batch,) = cache.batches([[Sample(index, 0, 0) for index in range(len(source.records))]])
    return batch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "images"
    place.mkdir()
    for index in range(3):
        Image.effect_noise((48, 40), 60 + index).convert("RGB").save(place / f"{index}.png")
    return place


def test_second_run_reads_what_the_first_encoded(folder: Path, tmp_path: Path) -> None:
    source, vae = make_source(folder), Vae()
    first = latents(source, vae, tmp_path / "cache")
    assert vae.num_images == 3
    again = Vae()
    assert torch.equal(latents(source, again, tmp_path / "cache"), first)
    assert again.num_images == 0
    assert torch.equal(latents(source, Vae(), None), first)


def test_edited_image_other_size_or_other_vae_never_meets_an_old_latent(
    folder: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    latents(make_source(folder), Vae(), cache)
    Image.effect_noise((48, 40), 90).convert("RGB").save(folder / "1.png")
    edited = Vae()
    latents(make_source(folder), edited, cache)
    assert edited.num_images == 1
    larger = Vae()
    assert latents(make_source(folder, (40, 32)), larger, cache).shape == (3, 4, 4, 5)
    assert larger.num_images == 3
    other = Vae(scale=1.01)
    latents(make_source(folder), other, cache)
    assert other.num_images == 3


def test_renamed_image_keeps_its_latent(folder: Path, tmp_path: Path) -> None:
    latents(make_source(folder), Vae(), tmp_path / "cache")
    (folder / "0.png").rename(folder / "zero.png")
    vae = Vae()
    latents(make_source(folder), vae, tmp_path / "cache")
    assert vae.num_images == 0


def test_damaged_cache_file_is_made_anew(folder: Path, tmp_path: Path) -> None:
    first = latents(make_source(folder), Vae(), tmp_path / "cache")
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:20])
    vae = Vae()
    assert torch.equal(latents(make_source(folder), vae, tmp_path / "cache"), first)
    assert vae.num_images == 3


def test_both_mirror_images_are_kept(folder: Path) -> None:
    source, vae = make_source(folder, flip=True), Vae()
    cache = CachedLatents(source, vae)
    list(cache.prepare())
    samples = [Sample(0, epoch, 0) for epoch in range(40)]
    (batch,) = cache.batches([samples])
    assert vae.num_images == 6
    views = {source.view(sample).flipped for sample in samples}
    assert views == {False, True}
    image, corner, plain = source.image(0), source.placements[0].centre, Vae()
    for sample, encoded in zip(samples, batch, strict=True):
        pixels = source.pixels(image, 0, View(corner, source.view(sample).flipped))
        assert torch.equal(encoded, plain(pixels[None])[0])


def test_fresh_latents_equal_cached_ones(folder: Path) -> None:
    source = make_source(folder)
    (fresh,) = FreshLatents(source, Vae(), workers=2).batches([[Sample(i, 0, 0) for i in range(3)]])
    torch.testing.assert_close(fresh, latents(source, Vae(), None))


def test_vae_that_gives_nan_is_an_error(folder: Path) -> None:
    with pytest.raises(TrainingError, match="VAE"):
        latents(make_source(folder), Vae(scale=float("nan")), None)


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_ordered_map_keeps_the_order_and_raises(workers: int) -> None:
    assert list(ordered_map(lambda n: n * n, range(50), workers)) == [n * n for n in range(50)]
    source = ordered_map(lambda n: 1 // (n - 3), range(50), workers)
    assert [next(source) for _ in range(3)] == [-1, -1, -1]
    with pytest.raises(ZeroDivisionError):
        next(source)
