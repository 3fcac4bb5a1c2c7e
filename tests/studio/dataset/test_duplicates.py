"""Looks of pictures by hand, and of real ones: copies are found, different pictures are not."""

from __future__ import annotations

import importlib.util
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from PIL import Image, ImageEnhance

from lib_lyco.studio.dataset.desk import DatasetDesk
from lib_lyco.studio.dataset.duplicates import ALIKE, CROPS, Look, alike, look_of, same_files
from lib_lyco.studio.rights import Rights
from lib_lyco.train.data.image import read_picture
from tests.studio.dataset.pictures import put_image

PACKAGES = {
    "skimage": ("data/*.png", "data/*.jpg"),
    "matplotlib": ("mpl-data/sample_data/*.jpg",),
    "gradio": ("test_data/*.jpg", "test_data/*.png", "media_assets/images/*.jp*g"),
}
TWINS = (
    {"chessboard_RGB", "chessboard_GRAY"},
    {"motorcycle_left", "motorcycle_right"},
    {"cheetah1", "cheetah1-copy"},
    {"bus", "test_image"},
)
"""Pictures of those packages that are nearly the same."""
TEXTURES = ("brick", "gravel", "grass", "hubble_deep_field", "microaneurysms")
"""Whose detail is finer than a look's."""


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.convert("RGB").save(file, "JPEG", quality=quality)
    return Image.open(file)


def cut(picture: Image.Image, *shares: float) -> Image.Image:
    """Without these shares at left, top, right and bottom."""
    (width, height), (left, top, right, bottom) = picture.size, shares
    box = width * left, height * top, width * (1 - right), height * (1 - bottom)
    return picture.crop((round(box[0]), round(box[1]), round(box[2]), round(box[3])))


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "recompressed": lambda one: jpeg(one, 40),
    "a third, recompressed": lambda one: jpeg(one.resize((one.width // 3, one.height // 3)), 60),
    "larger": lambda one: one.resize((one.width * 2, one.height * 2)),
    "darker": lambda one: ImageEnhance.Brightness(one).enhance(0.8),
    "more contrast": lambda one: ImageEnhance.Contrast(one).enhance(1.3),
    "cut at all sides": lambda one: cut(one, 0.03, 0.03, 0.03, 0.03),
    "cut at the left": lambda one: cut(one, 0.05, 0, 0, 0),
    "cut at the foot": lambda one: cut(one, 0, 0, 0, 0.06),
    "cut at a corner": lambda one: cut(one, 0, 0.04, 0.04, 0),
}


def likeness(one: Look, other: Look) -> float:
    """The larger of both directions."""
    return max(float((one @ other[0]).max()), float((other @ one[0]).max()))


@pytest.fixture(scope="module")
def real() -> dict[str, Image.Image]:
    """Pictures that come with installed packages."""
    found: dict[str, Image.Image] = {}
    for package, patterns in PACKAGES.items():
        spec = importlib.util.find_spec(package)
        for root in (spec.submodule_search_locations or ()) if spec else ():
            for path in (path for pattern in patterns for path in sorted(Path(root).glob(pattern))):
                found[path.stem] = read_picture(path, (255, 255, 255)).image
    if len(found) < 10:
        pytest.skip("there are no packages with pictures here")
    return found


@pytest.fixture(scope="module")
def looks(real: dict[str, Image.Image]) -> dict[str, Look]:
    return {name: look_of(picture) for name, picture in real.items()}


def test_a_look_by_hand() -> None:
    # 8x8 pixels, each 10 brighter than its left neighbour: 56 steps of 10 across, none down
    row = numpy.arange(100, 180, 10, dtype=numpy.uint8)
    look = look_of(Image.fromarray(numpy.tile(row, (8, 1))))
    assert look.shape == (len(CROPS), 112)
    assert look[0, :56] == pytest.approx(numpy.full(56, 1 / 56**0.5), abs=1e-6)
    assert look[0, 56:] == pytest.approx(numpy.zeros(56), abs=1e-6)
    assert not look_of(Image.new("RGB", (50, 50), "red")).any()


@pytest.mark.parametrize("how", COPIES)
def test_copies_of_real_pictures_are_found(
    real: dict[str, Image.Image], looks: dict[str, Look], how: str
) -> None:
    found = {name: likeness(looks[name], look_of(COPIES[how](picture))) for name, picture in real.items()}
    assert {name: told for name, told in found.items() if told < ALIKE and name not in TEXTURES} == {}


def test_different_real_pictures_are_not(looks: dict[str, Look]) -> None:
    names = sorted(looks)
    pairs = [(one, other) for place, one in enumerate(names) for other in names[:place]]
    alike_ones = [{one, other} for one, other in pairs if likeness(looks[one], looks[other]) > ALIKE - 0.2]
    assert [pair for pair in alike_ones if pair not in TWINS] == []


def test_groups_by_way_of_others() -> None:
    def look(*numbers: float) -> Look:
        vector = numpy.array(numbers, dtype=numpy.float32)
        return numpy.stack([vector / numpy.linalg.norm(vector)] * 2).astype(numpy.float32)

    assert alike([look(1, 0), look(0, 1), look(1, 0.4), look(1, 0.9), look(-1, 0)]) == [[0, 2, 3]]
    assert alike([]) == []


def test_the_same_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abcd"]
    for path, content in zip(paths, (b"xy", b"zz", b"xy", b"long"), strict=True):
        path.write_bytes(content)
    assert same_files(paths) == [[0, 2]]


def test_a_job_looks_at_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    put_image(folder / "plain.png")
    put_image(folder / "plain too.png", (60, 60), "blue")
    for seed in (1, 2, 3):
        areas = numpy.random.default_rng(seed).integers(0, 255, (6, 7, 3), dtype=numpy.uint8)
        scene = Image.fromarray(areas).resize((300, 200), Image.Resampling.BICUBIC)
        scene.save(folder / f"{seed}.png")
        if seed == 1:
            (folder / "copy of 1.png").write_bytes((folder / "1.png").read_bytes())
            scene.resize((150, 100)).save(folder / "small 1.jpg", quality=60)
            scene.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "mirrored.png")
    desk = DatasetDesk(Rights(), tmp_path / "data", tuple)
    job = desk.find_doubles(desk.view(str(folder), {}))
    job.wait(60)
    assert (job.state, job.done) == ("finished", 7)
    assert job.result == {
        "groups": [
            {"kind": "same", "names": ["1.png", "copy of 1.png"]},
            {"kind": "near", "names": ["1.png", "small 1.jpg"]},
        ]
    }


def test_thousands_of_looks_are_compared_within_seconds() -> None:
    numbers = numpy.random.default_rng(0).normal(size=(5000, len(CROPS), 112)).astype(numpy.float32)
    numbers /= numpy.linalg.norm(numbers, axis=2, keepdims=True)
    numbers[4000, 3] = numbers[7, 0]
    start = time.process_time()
    assert alike(list(numbers)) == [[7, 4000]]
    assert time.process_time() - start < 30
