"""What the page shows of a folder is what the training core reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lib_lyco.errors import ConfigError, DataError
from lib_lyco.studio.dataset.listing import view_config
from lib_lyco.train.compose.data import plan_run
from lib_lyco.train.config import make_config
from tests.studio.dataset.pictures import listing_of, put_image, put_text

LAYOUTS: list[tuple[str, dict[str, Any]]] = [
    ("flat", {"class_tokens": "thing"}),
    ("numbered", {}),
    ("parent", {"repeats": 3.0}),
    ("numbered/2_black cat", {}),
    ("flat", {"caption_extension": ".caption", "bucket_upscale": False, "bucket_min": 64}),
    ("flat", {"enable_wildcard": True, "resolution": (640, 448), "bucket_step": 32}),
]


def build(folder: Path) -> None:
    """Folders of every layout, with captions of every kind."""
    put_image(folder / "flat" / "a.png", (700, 500))
    put_text(folder / "flat" / "a.txt", "\ufeffone, two\nthree\n")
    put_image(folder / "flat" / "b_1_2_3_4.jpg", (300, 900))
    put_text(folder / "flat" / "b.caption", "猫, 帽子".encode("utf-16"))
    put_image(folder / "flat" / "c.webp", (512, 512))
    put_text(folder / "flat" / "c.TXT", "")
    put_image(folder / "flat" / "excluded" / "z.png")
    put_image(folder / "numbered" / "2_black cat" / "a.png", (900, 300))
    put_image(folder / "numbered" / "0.5_dog" / "b.png", (300, 300))
    put_text(folder / "numbered" / "0.5_dog" / "b.txt", "dog, run")
    put_image(folder / "parent" / "x" / "a.png", (640, 480))
    put_image(folder / "parent" / "y" / "b.png", (480, 640))


@pytest.mark.parametrize(("name", "values"), LAYOUTS)
def test_pictures_are_the_cores_records(tmp_path: Path, name: str, values: dict[str, Any]) -> None:
    build(tmp_path)
    plan = plan_run(make_config({"images": str(tmp_path / name), **values}))
    used = list(listing_of(tmp_path / name, **values).used)
    assert [(one.record, one.placement) for one in used] == [
        *zip(plan.records, plan.placements, strict=True)
    ]
    each = {record.path: record.subset.repeats for record in plan.records}
    assert [one.repeats for one in used] == [each[one.path] or 10.0 for one in used]


def test_tags_and_text(tmp_path: Path) -> None:
    build(tmp_path)
    pictures = listing_of(tmp_path / "flat").pictures
    assert list(pictures) == ["a.png", "b_1_2_3_4.jpg", "c.webp", "excluded/z.png"]
    assert (pictures["a.png"].tags, pictures["a.png"].text) == (("one", "two"), "one, two\nthree")
    assert pictures["b_1_2_3_4.jpg"].tags == ("猫", "帽子")
    assert [one.excluded for one in pictures.values()] == [False, False, False, True]


def test_one_bad_file_does_not_hide_the_others(tmp_path: Path) -> None:
    put_image(tmp_path / "good.png", (512, 512))
    put_image(tmp_path / "small.png", (64, 64))
    put_image(tmp_path / "long.png", (2000, 200))
    put_text(tmp_path / "broken.png", b"\x89PNG\r\n\x1a\nno more")
    put_image(tmp_path / "odd.png", (512, 512))
    put_text(tmp_path / "odd.txt", "猫の写真".encode("cp932"))
    put_text(tmp_path / "movie.mp4", b"0")
    listing = listing_of(tmp_path)
    told = {name: (one.problem, one.advice) for name, one in listing.pictures.items()}
    assert told["good.png"] == ("", "")
    assert "cannot be read" in told["broken.png"][0]
    assert "cp932" in told["odd.png"][0]
    assert "8.0 times" in told["small.png"][1]
    assert "takes" in told["long.png"][1]
    assert any("movie.mp4" in note for note in listing.notes)


def test_a_folder_of_which_all_is_excluded_still_shows_it(tmp_path: Path) -> None:
    put_image(tmp_path / "2_cat" / "excluded" / "a.png")
    listing = listing_of(tmp_path)
    assert list(listing.pictures) == ["2_cat/excluded/a.png"]
    assert list(listing.used) == []


def test_missing_folders_and_wrong_values_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        listing_of(tmp_path / "gone")
    with pytest.raises(DataError, match="no image"):
        listing_of(tmp_path)
    with pytest.raises(ConfigError, match="bucket_step"):
        view_config(tmp_path, {"bucket_step": 3})
    # what has nothing to do with images does not keep anyone from looking at them
    assert view_config(tmp_path, {"learning_rate": "much"}).images == str(tmp_path)
