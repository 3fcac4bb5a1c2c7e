"""Folders of images become subsets of records."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lib_lyco.errors import DataError
from lib_lyco.train.data.caption import caption_in, read_text
from lib_lyco.train.data.folder import scan_folder
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
    assert [(r.path.name, r.subset.repeats, r.caption, r.folder) for r in parent.records] == [
        ("one.png", 10, "a cat", "10_a cat"),
        ("two.JPG", 3, "dog", "3_dog"),
    ]
    assert any("notes" in note for note in parent.notes)
    leaf = scan_folder(tmp_path / "10_a cat", SubsetOptions(repeats=4))
    assert [(r.subset.repeats, r.caption) for r in leaf.records] == [(10, "a cat")]
    flat = scan_folder(tmp_path / "notes", SubsetOptions(repeats=4))
    assert [(r.subset.repeats, r.caption, r.caption_source) for r in flat.records] == [(4, "", "none")]


def test_a_folder_of_subfolders_is_not_looked_into_deeper(tmp_path: Path) -> None:
    write_image(tmp_path / "2_cat" / "one.png")
    write_image(tmp_path / "2_cat" / "3_deep" / "two.png")
    write_image(tmp_path / "2_cat" / ".hidden.png")
    scan = scan_folder(tmp_path, SubsetOptions())
    assert [r.path.name for r in scan.records] == ["one.png"]
    (tmp_path / "2_cat" / "one.png").unlink()
    with pytest.raises(DataError, match="no image"):
        scan_folder(tmp_path, SubsetOptions())


def test_leaf_folder_tells_of_its_neighbours(tmp_path: Path) -> None:
    write_image(tmp_path / "2_cat" / "one.png")
    assert scan_folder(tmp_path / "2_cat", SubsetOptions()).notes == ()
    write_image(tmp_path / "3_dog" / "two.png")
    (note,) = scan_folder(tmp_path / "2_cat", SubsetOptions()).notes
    assert "1 more" in note
    assert "parent" in note


def test_flat_folder_tells_of_the_folders_in_it(tmp_path: Path) -> None:
    write_image(tmp_path / "one.png")
    write_image(tmp_path / "more" / "two.png")
    scan = scan_folder(tmp_path, SubsetOptions())
    assert [r.path.name for r in scan.records] == ["one.png"]
    assert "more" in scan.notes[0]


def test_repeats_of_a_folder_may_have_a_fraction(tmp_path: Path) -> None:
    write_image(tmp_path / "0.5_cat" / "one.png")
    (record,) = scan_folder(tmp_path, SubsetOptions(repeats=3)).records
    assert (record.subset.repeats, record.caption) == (0.5, "cat")


def test_names_say_nothing_where_they_are_not_to(tmp_path: Path) -> None:
    # as sd-scripts: the folders of a dataset_config are not taken apart by their names
    write_image(tmp_path / "10_cat" / "one.png")
    options = SubsetOptions(repeats=3, class_tokens="a dog")
    (record,) = scan_folder(tmp_path / "10_cat", options, by_name=False).records
    assert (record.subset.repeats, record.caption, record.caption_source) == (3, "a dog", "folder")


def test_a_face_crop_has_the_caption_of_its_picture(tmp_path: Path) -> None:
    names = ("a_1_2_3_4", "b_1_2_3_4", "my_own_long_photo_name")
    for name in names:
        write_image(tmp_path / f"{name}.png")
    (tmp_path / "a.txt").write_text("of the picture", encoding="utf-8")
    (tmp_path / "b.txt").write_text("of the picture", encoding="utf-8")
    (tmp_path / "b_1_2_3_4.txt").write_text("its own", encoding="utf-8")
    (tmp_path / "my.txt").write_text("foreign: sd-scripts would take it", encoding="utf-8")
    records = scan_folder(tmp_path, SubsetOptions()).records
    assert [record.caption for record in records] == ["of the picture", "its own", ""]


def test_images_that_cannot_be_read_here_are_told_with_their_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.PNG")
    for name in ("b.avif", "c.JXL", "d.jxl"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(
        "lib_lyco.train.data.folder.readable_extensions", lambda: frozenset((".png", ".jpg"))
    )
    scan = scan_folder(tmp_path, SubsetOptions())
    assert [r.path.name for r in scan.records] == ["a.PNG"]
    assert any("1 .avif" in note and "pillow-avif-plugin" in note for note in scan.notes)
    assert any("2 .jxl" in note and "pillow-jxl-plugin" in note for note in scan.notes)


def test_extensions_are_known_in_any_case(tmp_path: Path) -> None:
    # sd-scripts skips a.Png, and on Linux does not see a.TXT
    write_image(tmp_path / "a.png").rename(tmp_path / "a.Png")
    (tmp_path / "a.TXT").write_text("its own", encoding="utf-8")
    (record,) = scan_folder(tmp_path, SubsetOptions()).records
    assert (record.path.name, record.caption) == ("a.Png", "its own")
    (record,) = scan_folder(tmp_path, SubsetOptions(caption_extension=".Txt")).records
    assert record.caption == "its own"


def test_lines_of_a_caption_are_kept_for_wildcards_only(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png").with_suffix(".txt").write_text("one\n\n two \n", encoding="utf-8")
    (single,) = scan_folder(tmp_path, SubsetOptions()).records
    (several,) = scan_folder(tmp_path, SubsetOptions(enable_wildcard=True)).records
    assert (single.caption, several.caption) == ("one", "one\ntwo")


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
    assert caption_in(read_text(path)) == text


@pytest.mark.parametrize("raw", ["猫の写真".encode("cp932"), b"\xff\xfe\x00", b"a\0b", b"caf\xe9"])
def test_caption_in_another_encoding_is_one_clear_error(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.txt"):
        caption_in(read_text(path))


def test_cp932_is_named_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("猫の写真".encode("cp932"))
    with pytest.raises(DataError, match="cp932.*猫の写真"):
        caption_in(read_text(path))


def test_missing_and_empty_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        scan_folder(tmp_path / "gone", SubsetOptions(repeats=1))
    with pytest.raises(DataError, match="no image"):
        scan_folder(tmp_path, SubsetOptions(repeats=1))


def test_a_folder_of_excluded_images_is_left_out_of_every_layout(tmp_path: Path) -> None:
    for folder in ("flat", "parent/cats", "parent/dogs", "named/2_cat"):
        write_image(tmp_path / folder / "a.png")
        write_image(tmp_path / folder / "excluded" / "b.png")
    for name, images in (
        ("flat", 1),
        ("parent", 2),
        ("named", 1),
        ("named/2_cat", 1),
        ("flat/excluded", 1),
    ):
        scan = scan_folder(tmp_path / name, SubsetOptions())
        assert (len(scan.records), scan.notes) == (images, ()), name
    (tmp_path / "flat" / "a.png").unlink()
    with pytest.raises(DataError, match="no image"):
        scan_folder(tmp_path / "flat", SubsetOptions())
