"""Captions in a metadata file: what is seen, what is written, and what stays as it is, byte by byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib_lyco.errors import DataError
from lib_lyco.studio.dataset.desk import DatasetDesk, View
from lib_lyco.studio.dataset.entries import change_of, written
from lib_lyco.studio.dataset.tags import Grammar, added
from lib_lyco.studio.rights import Rights
from lib_lyco.train.data.metadata_file import scan_metadata_file
from lib_lyco.train.options.subset import SubsetOptions
from tests.studio.dataset.pictures import put_image, put_text

# as sd-scripts' tools write it: `prepare_buckets_latents.py` adds train_resolution
KOHYA = """{
  "a": {
    "caption": "a cat, on a mat",
    "tags": "1girl, hat",
    "train_resolution": [512,  512]
  },
  "b.png": {"tags": "sky"},
  "c": {
    "caption": "\\u732b",
    "extra": {"tags": "not these", "caption": 1.50}
  },
  "d": {},
  "e":{"n":1e3}
}
"""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in "abcde":
        put_image(tmp_path / "images" / f"{name}.png")
    return tmp_path / "images"


def captions(file: Path, images: Path) -> dict[str, str]:
    """As training reads them."""
    scan = scan_metadata_file(file, SubsetOptions(images=str(images), caption_separator=", "))
    return {record.path.stem: record.caption for record in scan.records}


class Editor:
    """The desk on one metadata file."""

    def __init__(self, file: Path, images: Path, data: Path) -> None:
        self.desk = DatasetDesk(Rights(), data, tuple)
        self.view: View = self.desk.view(str(images), {"caption_separator": ", "}, str(file))

    def add(self, tag: str, *names: str) -> None:
        """Adds a tag to images."""
        grammar = Grammar(", ")
        self.desk.change(self.view, names, grammar.on_tags(lambda tags: added(tags, [tag])), "Add")


@pytest.fixture
def editor(images: Path, tmp_path: Path) -> Editor:
    file = put_text(tmp_path / "meta.json", KOHYA)
    return Editor(file, images, tmp_path / "data")


def test_only_the_texts_are_written(editor: Editor, images: Path) -> None:
    file = editor.view.metadata_file
    assert file
    assert [one.text for one in editor.desk.listing(editor.view).pictures.values()] == [
        "a cat, on a mat, 1girl, hat",
        "sky",
        "猫",
        "",
        "",
    ]
    editor.add("new", "a.png", "b.png", "c.png", "d.png", "e.png")
    assert file.read_text(encoding="utf-8") == (
        KOHYA.replace("1girl, hat", "1girl, hat, new")
        .replace('"sky"', '"sky, new"')
        .replace('"\\u732b"', '"\\u732b, new"')
        .replace('"d": {}', '"d": {"caption": "new"}')
        .replace('{"n":1e3}', '{"caption": "new", "n":1e3}')
    )
    assert captions(file, images)["a"] == "a cat, on a mat, 1girl, hat, new"
    editor.desk.write(editor.view, {"b.png": "one"}, "x")
    editor.desk.undo(editor.view)
    editor.desk.undo(editor.view)
    assert captions(file, images) == {
        "a": "a cat, on a mat, 1girl, hat",
        "b": "sky",
        "c": "猫",
        "d": "",
        "e": "",
    }
    editor.desk.redo(editor.view)
    assert captions(file, images)["e"] == "new"


def test_lines_are_written_in_their_places(images: Path, tmp_path: Path) -> None:
    lines = [
        '{"image_path": "a.png", "caption": "x", "n": 1}',
        "",
        ' {"image_path":"b.png"}',
        '{"image_path": "c"}',
    ]
    file = put_text(tmp_path / "meta.jsonl", b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    editor = Editor(file, images, tmp_path / "data")
    editor.desk.write(editor.view, {"a.png": "猫"}, "x")
    editor.add("y", "b.png")
    lines[0] = lines[0].replace('"x"', '"\\u732b"')
    lines[2] = ' {"caption": "y", "image_path":"b.png"}'
    assert file.read_bytes() == b"\xef\xbb\xbf" + "\r\n".join(lines).encode()


def test_an_own_caption_and_tags_are_kept_apart() -> None:
    entry = {"caption": "a cat, on a mat", "tags": "1girl, hat"}
    grammar = Grammar(", ")

    def split(text: str) -> tuple[str, str]:
        _, after = change_of(entry, text, grammar)
        return after["caption"], after["tags"]

    assert split("sks, a cat, on a mat, 1girl, hat") == ("sks, a cat, on a mat", "1girl, hat")
    assert split("a cat, hat") == ("a cat", "hat")
    assert split("hat, 1girl") == ("", "hat, 1girl")
    assert split("one\ntwo") == ("one\ntwo", "")


def test_what_somebody_else_writes_meanwhile_stays(editor: Editor, images: Path) -> None:
    file = editor.view.metadata_file
    assert file
    editor.add("new", "b.png")
    told = json.loads(file.read_text(encoding="utf-8"))
    told["a"]["tags"] = "theirs"
    file.write_text(json.dumps(told), encoding="utf-8")
    editor.add("new", "a.png")
    assert captions(file, images)["a"] == "a cat, on a mat, theirs, new"
    told = json.loads(file.read_text(encoding="utf-8"))
    told["a"]["tags"] = "later"
    file.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(DataError, match="meanwhile"):
        editor.desk.undo(editor.view)
    assert captions(file, images)["a"] == "a cat, on a mat, later"


def test_entries_that_training_refuses_are_told(images: Path, tmp_path: Path) -> None:
    file = put_text(tmp_path / "meta.json", '{"a": {"caption": 3}, "gone": {}, "b": {"caption": "x"}}')
    put_text(images / "b.png", b"broken")
    desk = DatasetDesk(Rights(), tmp_path / "data", tuple)
    listing = desk.listing(desk.view(str(images), {}, str(file)))
    assert [bool(one.problem) for one in listing.pictures.values()] == [True, True]
    assert listing.notes == (
        "1 images that the metadata file names are not there.",
        "3 images are not used, the metadata file does not name them.",
    )
    with pytest.raises(DataError, match="names all its images"):
        desk.exclude(desk.view(str(images), {}, str(file)), ["b.png"], True)


def test_whole_paths_need_no_folder(images: Path, tmp_path: Path) -> None:
    told = {
        str(images / "a.png"): {"tags": "x"},
        str(put_image(tmp_path / "more" / "f.png")): {"tags": "y"},
    }
    file = put_text(tmp_path / "meta.json", json.dumps(told))
    editor = Editor(file, Path(), tmp_path / "data")
    editor.view = editor.desk.view("", {}, str(file))
    listing = editor.desk.listing(editor.view)
    assert (listing.folder, list(listing.pictures)) == (tmp_path, ["images/a.png", "more/f.png"])


def test_thousands_of_captions_are_written_at_once() -> None:
    told = json.dumps({f"{number}": {"caption": "x" * 200} for number in range(5000)})
    text = written(told, False, {f"{number}": {"caption": "y"} for number in range(0, 5000, 2)})
    assert sum(entry["caption"] == "y" for entry in json.loads(text).values()) == 2500
