"""Difference hashes by hand, and the groups made of them."""

from __future__ import annotations

from pathlib import Path

import numpy
from PIL import Image, ImageEnhance

from lib_lyco.studio.dataset.duplicates import bit_counts, difference_hash, find_doubles
from lib_lyco.studio.dataset.thumbnails import Thumbnails
from tests.studio.dataset.pictures import listing_of, put_image


def scene(seed: int, size: tuple[int, int] = (300, 200)) -> Image.Image:
    """A picture with large areas."""
    areas = numpy.random.default_rng(seed).integers(0, 255, (6, 7, 3), dtype=numpy.uint8)
    return Image.fromarray(areas).resize(size, Image.Resampling.BICUBIC)


def test_bits_by_hand() -> None:
    # 9x8: each row gets brighter to the right, so every bit is 1; the second row gets darker: 8 zeros
    rows = numpy.tile(numpy.arange(0, 90, 10, dtype=numpy.uint8), (8, 1))
    rows[1] = rows[1][::-1]
    rows[7, 8] = rows[7, 7]
    assert difference_hash(Image.fromarray(rows)) == 0xFF00FFFFFFFFFFFE
    assert difference_hash(Image.new("RGB", (50, 50), "red")) == 0


def test_bit_counts_by_hand() -> None:
    values = numpy.array([0, 1, 0xFF00FFFFFFFFFFFE, 2**64 - 1], dtype=numpy.uint64)
    assert bit_counts(values).tolist() == [0, 1, 55, 64]
    assert bit_counts(values[:0]).tolist() == []


def test_same_and_near_pictures_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    put_image(folder / "one_is_copied.png")
    scene(1).save(folder / "a.png")
    (folder / "copy of a.png").write_bytes((folder / "a.png").read_bytes())
    scene(1).resize((150, 100)).save(folder / "small a.jpg", quality=60)
    ImageEnhance.Brightness(scene(1)).enhance(0.9).save(folder / "dark a.webp")
    scene(1).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "mirrored.png")
    for seed in (2, 3, 4):
        scene(seed).save(folder / f"other {seed}.png")
    pictures = list(listing_of(folder).used)
    thumbnails = Thumbnails(tmp_path / "thumbnails")
    done: list[int] = []

    def progress(number: int) -> bool:
        done.append(number)
        return True

    found = find_doubles(
        pictures, lambda one: thumbnails.read(one.path, one.key, (255, 255, 255)), progress
    )
    assert [(one.kind, sorted(one.names)) for one in found] == [
        ("same", ["a.png", "copy of a.png"]),
        ("near", ["a.png", "dark a.webp", "small a.jpg"]),
    ]
    assert found[1].names[-1] == "small a.jpg"
    assert done == list(range(len(pictures)))
    stopped = find_doubles(pictures, lambda one: b"", lambda number: False)
    assert stopped == []
