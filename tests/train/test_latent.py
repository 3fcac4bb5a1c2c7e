"""Latents: kept by content, encoded once, never stale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from lib_lyco.errors import DataError, FileError, TrainingError
from lib_lyco.train.data.bucket import Bucketing
from lib_lyco.train.data.folder import scan_folder
from lib_lyco.train.data.image import Picture
from lib_lyco.train.data.latent import CachedLatents, CacheSettings, Encoded, FreshLatents, LatentSource
from lib_lyco.train.data.mask import demand_masks, find_mask
from lib_lyco.train.data.order import Sample
from lib_lyco.train.data.source import ImageSource, View, ordered_map
from lib_lyco.train.options.subset import SubsetOptions
from lib_lyco.train.world import World


class Vae:
    """Counts what it encodes."""

    def __init__(self, scale: float = 1.0) -> None:
        self.num_images = 0
        self._to_latents = torch.randn(4, 192, generator=torch.Generator().manual_seed(0)) * scale

    def __call__(self, images: Tensor) -> Tensor:
        self.num_images += images.shape[-1] != 64 or images.shape[-2] != 64  # the probe is 64x64
        return torch.einsum("lp,bphw->blhw", self._to_latents, functional.pixel_unshuffle(images, 8))


def make_source(folder: Path, resolution: tuple[int, int] = (32, 32), **options: Any) -> ImageSource:
    records = scan_folder(folder, SubsetOptions(repeats=1, **options)).records
    placements = Bucketing(resolution, enabled=False).placements([record.size for record in records])
    return ImageSource(records, placements, seed=0)


def prepared(source: ImageSource, vae: Callable[[Tensor], Tensor], **settings: Any) -> CachedLatents:
    cache = CachedLatents(source, vae, CacheSettings(**settings))
    total = len(source.records)
    assert list(cache.prepare()) == [(done, total) for done in range(1, total + 1)]
    return cache


def all_of(source: ImageSource, latents: LatentSource) -> Encoded:
    (batch,) = latents.batches([[Sample(index, 0, 0) for index in range(len(source.records))]])
    return batch


def latents(source: ImageSource, vae: Callable[[Tensor], Tensor], folder: Path | None) -> Tensor:
    return all_of(source, prepared(source, vae, folder=folder)).latents


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


def test_other_ways_to_the_pixels_never_meet_an_old_latent(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    latents(make_source(folder), Vae(), cache)
    again = Vae()
    latents(make_source(folder, resize_interpolation="nearest"), again, cache)
    assert again.num_images == 3
    latents(replace(make_source(folder), background=(0, 0, 0)), again, cache)
    assert again.num_images == 6


@pytest.mark.parametrize("on_disk", [False, True])
def test_both_mirror_images_are_kept(folder: Path, tmp_path: Path, on_disk: bool) -> None:
    source, vae = make_source(folder, flip=True), Vae()
    cache = prepared(source, vae, folder=tmp_path / "cache" if on_disk else None)
    samples = [Sample(0, epoch, 0) for epoch in range(40)]
    (batch,) = cache.batches([samples])
    assert vae.num_images == 6
    views = {source.view(sample).flipped for sample in samples}
    assert views == {False, True}
    placement, picture, plain = source.placements[0], source.picture(0), Vae()
    for sample, encoded in zip(samples, batch.latents, strict=True):
        view = View(placement.resized, placement.centre, source.view(sample).flipped)
        assert torch.equal(encoded, plain(source.pixels(picture, 0, view)[None])[0])


@pytest.mark.parametrize("workers", [0, 3])
def test_fresh_latents_equal_cached_ones(folder: Path, tmp_path: Path, workers: int) -> None:
    source = make_source(folder)
    fresh = all_of(source, FreshLatents(source, Vae(), workers)).latents
    torch.testing.assert_close(fresh, latents(source, Vae(), None))
    kept = prepared(source, Vae(), folder=tmp_path / "cache", workers=workers)
    torch.testing.assert_close(fresh, all_of(source, kept).latents)


def test_images_of_one_bucket_are_encoded_together(folder: Path) -> None:
    Image.effect_noise((64, 32), 9).convert("RGB").save(folder / "0wide.png")
    records = scan_folder(folder, SubsetOptions(repeats=1)).records
    sizes = [record.size for record in records]
    source = ImageSource(records, Bucketing((48, 40), upscale=False, step=8).placements(sizes), seed=0)
    asked: list[tuple[int, ...]] = []
    vae = Vae()

    def encode(images: Tensor) -> Tensor:
        asked.append(tuple(images.shape))
        return vae(images)

    cache = CachedLatents(source, encode, CacheSettings(batch_size=2))
    assert list(cache.prepare())[-1] == (4, 4)
    # by hand: of 64x32 more than 48x40's area, so 48x24 (56x24 would have another aspect)
    assert sorted(asked) == [(1, 3, 24, 48), (1, 3, 40, 48), (2, 3, 40, 48)]
    one_by_one = prepared(source, Vae())
    for index in range(4):
        together, alone = (
            next(one.batches([[Sample(index, 0, 0)]])).latents for one in (cache, one_by_one)
        )
        torch.testing.assert_close(together, alone)


def test_disk_cache_holds_nothing_in_memory(folder: Path, tmp_path: Path) -> None:
    source = make_source(folder)
    cache = prepared(source, Vae(), folder=tmp_path / "cache")
    assert all_of(source, cache).latents.shape[0] == 3
    for path in (tmp_path / "cache").iterdir():
        path.unlink()
    with pytest.raises(FileError):
        all_of(source, cache)


def write_masks(folder: Path) -> Path:
    """For 0.png its left half, for 1.png all, for 2.png nothing."""
    masks = folder.parent / "masks"
    masks.mkdir()
    half = Image.new("L", (48, 40))
    half.paste(255, (0, 0, 24, 40))
    half.save(masks / "0.jpg", quality=100)
    Image.new("RGB", (24, 20), (255, 0, 0)).save(masks / "1.png")
    Image.new("L", (96, 80)).save(masks / "2.png")
    return masks


@pytest.mark.parametrize("cache", ["memory", "disk", "off"])
def test_masks_go_with_their_images(folder: Path, tmp_path: Path, cache: str) -> None:
    # by hand: 48x40 becomes 38x32, cut to the 32 in its middle: of the mask's left half 16 pixels stay,
    # that is 2 of 4 latents, and mirrored they are the right ones
    source = make_source(folder, mask_folder=str(write_masks(folder)), flip=True)
    place = tmp_path / "cache" if cache == "disk" else None
    kept = FreshLatents(source, Vae()) if cache == "off" else prepared(source, Vae(), folder=place)
    for epoch in range(8):
        (batch,) = kept.batches([[Sample(index, epoch, 0) for index in range(3)]])
        assert batch.mask is not None and batch.mask.shape == (3, 1, 4, 4)
        left = torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(4, 4)
        expected = left.flip(-1) if source.view(Sample(0, epoch, 0)).flipped else left
        torch.testing.assert_close(batch.mask[0, 0], expected, atol=0.06, rtol=0)
        assert torch.equal(batch.mask[1:, 0].mean(dim=(1, 2)), torch.tensor([1.0, 0.0]))
        assert torch.equal(batch.part(slice(1, 2)).latents, batch.latents[1:2])


def test_edited_mask_never_meets_an_old_one(folder: Path, tmp_path: Path) -> None:
    masks = write_masks(folder)
    source = make_source(folder, mask_folder=str(masks))
    all_of(source, prepared(source, Vae(), folder=tmp_path / "cache"))
    Image.new("L", (48, 40), 51).save(masks / "2.png")
    batch = all_of(source, prepared(source, Vae(), folder=tmp_path / "cache"))
    assert batch.mask is not None
    torch.testing.assert_close(batch.mask[2], torch.full((1, 4, 4), 0.2))


def test_mask_is_the_mean_over_the_pixels_of_each_latent(folder: Path) -> None:
    source = make_source(folder)
    noise = Image.effect_noise((32, 32), 90)
    view = View((32, 32), (0, 0))
    found = source.mask(Picture(noise.convert("RGB"), noise), 0, view)
    pixels = torch.tensor(list(noise.tobytes())).view(1, 1, 32, 32) / 255
    assert found is not None
    torch.testing.assert_close(found, functional.interpolate(pixels, size=(4, 4), mode="area")[0])


def test_image_without_alpha_counts_whole_beside_one_with(folder: Path) -> None:
    Image.new("RGBA", (48, 40), (255, 0, 0, 102)).save(folder / "1.png")
    source = make_source(folder, alpha_mask=True)
    batch = all_of(source, FreshLatents(source, Vae()))
    assert batch.mask is not None
    torch.testing.assert_close(batch.mask.mean(dim=(1, 2, 3)), torch.tensor([1.0, 0.4, 1.0]))
    plain = make_source(folder)
    assert all_of(plain, FreshLatents(plain, Vae())).mask is None


def test_missing_mask_and_one_of_another_shape_are_told(folder: Path) -> None:
    masks = write_masks(folder)
    source = make_source(folder, mask_folder=str(masks))
    demand_masks(source.records)
    (masks / "1.png").unlink()
    with pytest.raises(DataError, match=r"1\.png"):
        demand_masks(source.records)
    Image.new("L", (40, 40)).save(masks / "1.png")
    with pytest.raises(DataError, match="40x40"):
        demand_masks(source.records)


def test_masks_may_lie_in_folders_of_the_images_names(folder: Path) -> None:
    masks = write_masks(folder)
    (masks / "images").mkdir()
    Image.new("L", (48, 40), 51).save(masks / "images" / "2.png")
    source = make_source(folder, mask_folder=str(masks))
    assert find_mask(masks, source.records[2]) == masks / "images" / "2.png"
    assert find_mask(masks, source.records[1]) == masks / "1.png"


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


def test_latents_that_another_machine_has_kept_are_encoded_here_too(folder: Path, tmp_path: Path) -> None:
    class Second(World):
        """The second of two processes; the first has found its files in a folder of its own."""

        rank, size = 1, 2

        def gathered(self, found: Mapping[Any, Any]) -> dict[Any, Any]:
            return {**elsewhere, **found} if found else {}

    source, vae = make_source(folder), Vae()
    cache = tmp_path / "cache"
    elsewhere = {(index, False): cache / f"{index}.safetensors" for index in (0, 2)}
    kept = CachedLatents(source, vae, CacheSettings(folder=cache, world=Second()))
    assert list(kept.prepare()) == [(1, 1), (1, 2), (2, 2)] and vae.num_images == 3
    assert torch.equal(all_of(source, kept).latents, latents(source, Vae(), None))
