"""Masks drawn by hand: training reads what was drawn, and undo takes it back."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy
import pytest
from PIL import Image

from lib_lyco.errors import DataError
from lib_lyco.studio.dataset.desk import DatasetDesk, View
from lib_lyco.studio.dataset.masks import read_drawn
from lib_lyco.studio.rights import Rights
from lib_lyco.train.data.image import read_mask
from lib_lyco.train.data.mask import demand_masks, find_mask
from tests.studio.dataset.pictures import listing_of, put_image

HALF = Image.new("L", (20, 10), 255)
HALF.paste(0, (0, 0, 10, 10))


@pytest.fixture
def desk(tmp_path: Path) -> DatasetDesk:
    return DatasetDesk(Rights(), tmp_path / "data", tuple)


@pytest.fixture
def view(tmp_path: Path, desk: DatasetDesk) -> View:
    """Two images, one of them half transparent."""
    put_image(tmp_path / "images" / "2_cat" / "a.jpg", (80, 40))
    image = put_image(tmp_path / "images" / "2_cat" / "b.png", (64, 64), mode="RGBA")
    with Image.open(image) as picture:
        picture.putalpha(128)
        picture.save(image)
    return desk.view(str(tmp_path / "images"), {})


def address(mask: Image.Image, kind: str = "PNG") -> str:
    file = io.BytesIO()
    mask.save(file, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def masks_of(view: View, folder: Path) -> dict[str, numpy.ndarray]:
    """As training reads them."""
    listing = listing_of(view.folder, mask_folder=str(folder))
    records = [one.record for one in listing.used if one.record]
    demand_masks(records)
    return {one.path.name: numpy.asarray(read_mask(find_mask(folder, one))) for one in records}


def test_training_reads_what_was_drawn(desk: DatasetDesk, view: View) -> None:
    folder = desk.draw_mask(view, "2_cat/a.jpg", read_drawn(address(HALF)))
    masks = masks_of(view, folder)
    assert masks["a.jpg"].shape == (40, 80)
    assert [masks["a.jpg"][20, x] for x in (5, 75)] == [0, 255]
    assert set(masks["b.png"].flatten()) == {128}  # of its own transparency
    desk.undo(view)
    assert not (folder / "2_cat" / "a.png").exists()
    desk.redo(view)
    assert masks_of(view, folder)["a.jpg"][20, 5] == 0


def test_a_mask_that_is_there_is_drawn_over_and_comes_back(
    desk: DatasetDesk, view: View, tmp_path: Path
) -> None:
    masks = tmp_path / "masks"
    put_image(masks / "a.jpg", (80, 40), "white")
    put_image(masks / "b.png", (64, 64), "white")
    view = desk.view(str(view.folder), {"mask_folder": str(masks)})
    key = desk.listing(view).pictures["2_cat/a.jpg"].mask
    assert desk.draw_mask(view, "2_cat/a.jpg", HALF) == masks
    assert masks_of(view, masks)["a.jpg"][20, 5] < 8
    assert desk.listing(view).pictures["2_cat/a.jpg"].mask not in ("", key)
    assert sorted(path.name for path in masks.iterdir()) == ["a.jpg", "b.png"]
    desk.undo(view)
    assert masks_of(view, masks)["a.jpg"].min() > 247


@pytest.mark.parametrize(
    "told",
    [
        "",
        "data:image/png;base64,%%%",
        "data:image/png;base64,aGVsbG8=",
        "data:text/html;base64,aGVsbG8=",
        address(HALF, "GIF").replace("gif", "png"),
        address(Image.new("L", (5000, 2))),
    ],
)
def test_what_is_no_mask_is_refused(told: str) -> None:
    with pytest.raises(DataError, match="drawn mask"):
        read_drawn(told)
