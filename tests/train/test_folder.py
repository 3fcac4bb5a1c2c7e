"""Folders of images become records."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lib_lyco.errors import DataError
from lib_lyco.train.data.caption import read_caption
from lib_lyco.train.data.record import scan_folder
from lib_lyco.train.options.subset import SubsetOptions


def write_image(path: Path, size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(path)
    return path


def test_parent_leaf_and_flat_folder_are_understood(tmp_path: Path) -> None:
    write_image(tmp_path / "10_a cat" / "one.png")
    write_image(tmp_path / "3_dog" / "two.JPG")
    write_image(tmp_path / "notes" / "three.png")
    parent = scan_folder(tmp_path, SubsetOptions(repeats=4))
    assert [(r.path.name, r.repeats, r.caption, r.folder) for r in parent.records] == [
        ("one.png", 10, "a cat", "10_a cat"),
        ("two.JPG", 3, "dog", "3_dog"),
    ]
    assert any("notes" in note for note in parent.notes)
    leaf = scan_folder(tmp_path / "10_a cat", SubsetOptions(repeats=4))
    assert [(r.repeats, r.caption) for r in leaf.records] == [(10, "a cat")]
    flat = scan_folder(tmp_path / "notes", SubsetOptions(repeats=4))
    assert [(r.repeats, r.caption, r.caption_source) for r in flat.records] == [(4, "", "none")]
    assert any("no caption at all" in note for note in flat.notes)


def test_parent_of_plain_folders_uses_all_of_them(tmp_path: Path) -> None:
    write_image(tmp_path / "b" / "one.png")
    write_image(tmp_path / "a" / "two.png")
    assert [r.folder for r in scan_folder(tmp_path, SubsetOptions(repeats=2)).records] == ["a", "b"]


def test_zero_repeats_are_no_number(tmp_path: Path) -> None:
    write_image(tmp_path / "0_off" / "one.png")
    write_image(tmp_path / "1_on" / "two.png")
    scan = scan_folder(tmp_path, SubsetOptions(repeats=2))
    assert [r.folder for r in scan.records] == ["1_on"]
    assert any("0_off" in note for note in scan.notes)


def test_caption_extension_is_found_by_itself(tmp_path: Path) -> None:
    for name, extension in (("a", ".txt"), ("b", ".caption")):
        write_image(tmp_path / f"{name}.png").with_suffix(extension).write_text(f" text of {name}\nmore")
    write_image(tmp_path / "c.png")
    found = scan_folder(tmp_path, SubsetOptions(repeats=1)).records
    assert [(r.caption, r.caption_source) for r in found] == [
        ("text of a", "file"),
        ("text of b", "file"),
        ("", "none"),
    ]
    only = scan_folder(tmp_path, SubsetOptions(repeats=1, caption_extension=".caption")).records
    assert [r.caption for r in only] == ["", "text of b", ""]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("猫、赤い".encode("utf-8-sig"), "猫、赤い"),
        ("猫".encode("utf-16"), "猫"),
        (b"", ""),
        (b"\xef\xbb\xbf\r\n", ""),
    ],
)
def test_caption_encodings_are_read(tmp_path: Path, raw: bytes, text: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(raw)
    assert read_caption(path) == text


@pytest.mark.parametrize("raw", ["猫の写真".encode("cp932"), b"\xff\xfe\x00", b"a\0b", b"caf\xe9"])
def test_caption_in_another_encoding_is_one_clear_error(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.txt"):
        read_caption(path)


def test_cp932_is_named_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("猫の写真".encode("cp932"))
    with pytest.raises(DataError, match="cp932.*猫の写真"):
        read_caption(path)


def test_missing_and_empty_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        scan_folder(tmp_path / "gone", SubsetOptions(repeats=1))
    with pytest.raises(DataError, match="no image"):
        scan_folder(tmp_path, SubsetOptions(repeats=1))
