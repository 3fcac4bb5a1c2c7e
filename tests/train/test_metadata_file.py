"""Captions and tags from a JSON file, as sd-scripts' merge tools write it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lib_lyco.errors import DataError
from lib_lyco.train.data.metadata_file import scan_metadata_file
from lib_lyco.train.options.subset import SubsetOptions
from tests.train.test_folder import write_image


def captions(path: Path, entries: Any, **options: Any) -> dict[str, str]:
    """The caption of each image by its file name."""
    path.write_text(json.dumps(entries), encoding="utf-8")
    scan = scan_metadata_file(path, SubsetOptions(images=str(path.parent), **options))
    return {record.path.name: record.caption for record in scan.records}


def test_images_are_found_by_stem_name_and_full_path(tmp_path: Path) -> None:
    for name in ("a.png", "b.JPG", "c.d.png"):
        write_image(tmp_path / name)
    elsewhere = write_image(tmp_path / "other" / "e.png")
    entries = {
        "a": {"caption": "by stem"},
        "b.JPG": {"caption": "by name"},
        "c.d": {"caption": "by stem with a dot"},
        str(elsewhere): {"caption": "by path"},
    }
    assert captions(tmp_path / "meta.json", entries) == {
        "a.png": "by stem",
        "b.JPG": "by name",
        "c.d.png": "by stem with a dot",
        "e.png": "by path",
    }


def test_images_below_the_folder_and_of_another_machine_are_found(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "sub" / "b.png")
    entries = {"D:\\images\\a.png": {"caption": "moved"}, "sub/b": {"caption": "below"}}
    assert captions(tmp_path / "meta.json", entries) == {"a.png": "moved", "b.png": "below"}


def test_text_is_caption_separator_and_tags(tmp_path: Path) -> None:
    for name in "abcd":
        write_image(tmp_path / f"{name}.png")
    entries = {
        "a": {"caption": "a cat", "tags": "whiskers, fur"},
        "b": {"tags": "only tags"},
        "c": {"caption": "only caption", "tags": None},
        "d": {},
    }
    found = captions(tmp_path / "meta.json", entries, caption_separator="; ")
    assert found == {
        "a.png": "a cat; whiskers, fur",
        "b.png": "only tags",
        "c.png": "only caption",
        "d.png": "",
    }
    scan = scan_metadata_file(tmp_path / "meta.json", SubsetOptions(images=str(tmp_path), class_tokens="x"))
    assert [(r.caption, r.caption_source) for r in scan.records][-1] == ("x", "folder")
    assert {record.folder for record in scan.records} == {"meta.json"}


def test_with_wildcards_tags_follow_every_line(tmp_path: Path) -> None:
    # by the rule of FineTuningDataset: tags of one line, behind each line of the caption
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png")
    entries = {"a": {"caption": "one\n\ntwo", "tags": "x\ny"}, "b": {"tags": "z"}}
    found = captions(tmp_path / "meta.json", entries, enable_wildcard=True)
    assert found == {"a.png": "one,x,y\ntwo,x,y", "b.png": "z"}


def test_jsonl_has_an_image_a_line(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png")
    path = tmp_path / "meta.jsonl"
    path.write_text(
        '{"image_path": "b.png", "caption": "猫"}\n\n'
        '{"image_path": "a", "tags": "x", "image_size": [1, 1]}',
        encoding="utf-8",
    )
    records = scan_metadata_file(path, SubsetOptions(images=str(tmp_path))).records
    assert [(r.path.name, r.caption, r.size) for r in records] == [
        ("b.png", "猫", (40, 30)),
        ("a.png", "x", (40, 30)),
    ]


def test_images_that_the_file_does_not_name_are_told(tmp_path: Path) -> None:
    for name in "abc":
        write_image(tmp_path / f"{name}.png")
    (tmp_path / "meta.json").write_text('{"a": {}}', encoding="utf-8")
    scan = scan_metadata_file(tmp_path / "meta.json", SubsetOptions(images=str(tmp_path)))
    assert any("2 images are not used" in note for note in scan.notes)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": {"caption": "x"}, "gone": {}, "too": {}}', "2 images.*gone, too"),
        ('{"a": {}, "a.png": {}}', "one image"),
        ('{"twin": {}}', r"twin\.jpg, twin\.png"),
        ("{}", "no image"),
        ('{"a": {"caption": "x"},\n oops}', "line 2"),
        ("[1]", "object"),
        ('{"a": 3}', "a: 3"),
        ('{"a": {"tags": ["x"]}}', "tags"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    for name in ("a.png", "twin.png", "twin.jpg"):
        write_image(tmp_path / name)
    path = tmp_path / "meta.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        scan_metadata_file(path, SubsetOptions(images=str(tmp_path)))
    assert caught.match("(?s)" + told)
    assert caught.value.where.startswith(str(path))


def test_broken_lines_and_files_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "meta.jsonl"
    for text, told in (('{"image_path": "a"}\n{"x": 1}', "line 2"), ('\n{"image_path', "line 2")):
        path.write_text(text, encoding="utf-8")
        write_image(tmp_path / "a.png")
        with pytest.raises(DataError, match=told):
            scan_metadata_file(path, SubsetOptions(images=str(tmp_path)))
    with pytest.raises(DataError, match="cannot be read"):
        scan_metadata_file(tmp_path / "gone.json", SubsetOptions())
