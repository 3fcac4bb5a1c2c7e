"""Notes, descriptions and previews are in the builtin's files; each reads what the other writes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lib_lyco.catalog.scan import list_networks
from lib_lyco.catalog.side import SideFacts, notes_path, read_notes, read_side, write_notes, write_preview
from lib_lyco.errors import FileError
from tests.catalog.builtin import builtin_functions
from tests.catalog.test_find import put

BUILTINS = {
    "description": "A cat.",
    "sd version": "SDXL",
    "activation text": "sks cat",
    "preferred weight": 0.75,
    "negative text": "dog",
    "notes": "猫 {\"'}",
}


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    return put(tmp_path / "cat.v1.safetensors")


def side_of(network: Path) -> SideFacts:
    return next(read_side(file) for file in list_networks([network.parent]) if file.path == network)


def test_fields_of_the_builtins_editor_are_read(cat: Path) -> None:
    (cat.parent / "cat.v1.json").write_text(json.dumps(BUILTINS), encoding="utf-8")
    assert side_of(cat) == SideFacts("A cat.", "SDXL", "sks cat", 0.75, "dog", "猫 {\"'}")
    assert SideFacts.from_json(side_of(cat).to_json()) == side_of(cat)


def test_description_comes_from_the_texts_where_the_notes_have_none(cat: Path) -> None:
    (cat.parent / "cat.v1.description.txt").write_text("second", encoding="utf-8")
    assert side_of(cat).description == "second"
    (cat.parent / "cat.v1.txt").write_bytes("first \N{CAT}".encode() + b"\xff")
    assert side_of(cat).description == "first \N{CAT}\ufffd"
    notes_path(cat).write_text('{"notes": "x"}')
    assert side_of(cat).description == "first \N{CAT}\ufffd"
    notes_path(cat).write_text('{"description": ""}')
    assert side_of(cat).description == ""


def test_fields_of_others_are_kept(cat: Path) -> None:
    others = {"modelId": 5, "tags": ["a", {"b": None}], "description": "old"}
    notes_path(cat).write_text(json.dumps(others), encoding="utf-8")
    write_notes(cat, {"description": "new", "preferred weight": 0.5})
    assert json.loads(notes_path(cat).read_text(encoding="utf-8")) == {
        **others,
        "description": "new",
        "preferred weight": 0.5,
    }


def test_notes_are_written_in_the_builtins_form(cat: Path) -> None:
    """`indent=4, ensure_ascii=False`, as ui_extra_networks_user_metadata.py has it."""
    write_notes(cat, {"notes": "猫", "n": 1})
    assert notes_path(cat).read_text(encoding="utf-8") == '{\n    "notes": "猫",\n    "n": 1\n}'


@pytest.mark.parametrize("broken", ["{", "[1]", '"text"', "[" * 100_000, "\x00"])
def test_broken_notes_are_told_and_never_overwritten(cat: Path, broken: str) -> None:
    notes_path(cat).write_text(broken)
    assert "cannot be read" in str(side_of(cat).problem)
    with pytest.raises(FileError, match="cannot be read"):
        write_notes(cat, {"notes": "x"})
    assert notes_path(cat).read_text() == broken


def test_odd_values_do_no_harm(cat: Path) -> None:
    values = {"description": None, "notes": 7, "preferred weight": "much", "activation text": ["a"]}
    notes_path(cat).write_text(json.dumps(values))
    found = side_of(cat)
    assert (found.description, found.notes, found.preferred_weight) == ("", "7", 0.0)
    notes_path(cat).write_text('{"preferred weight": NaN, "notes": "\\ud83d"}')
    assert side_of(cat).preferred_weight == 0.0
    write_notes(cat, {"description": "kept"})
    assert read_notes(cat)["notes"] == "\ud83d"


def test_a_failed_write_leaves_the_old_notes(cat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_notes(cat, {"notes": "old"})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match="could not be written"):
        write_notes(cat, {"notes": "new"})
    assert read_notes(cat) == {"notes": "old"}
    assert [path.name for path in cat.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.skipif(os.name == "nt", reason="links and permissions are others on Windows")
def test_links_and_permissions_survive_writing(cat: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "notes.json").write_text("{}")
    (elsewhere / "notes.json").chmod(0o640)
    notes_path(cat).symlink_to(elsewhere / "notes.json")
    write_notes(cat, {"notes": "x"})
    assert notes_path(cat).is_symlink()
    assert json.loads((elsewhere / "notes.json").read_text()) == {"notes": "x"}
    assert (elsewhere / "notes.json").stat().st_mode & 0o777 == 0o640


def test_previews_are_found_in_order(cat: Path) -> None:
    names = (
        "cat.v1.preview.10.png",
        "cat.v1.preview.2.png",
        "cat.v1.preview.png",
        "cat.v1.webp",
        "cat.v1.png",
    )
    for name in (*names, "cat.png", "cat.v1.2.png", "cat.v12.png", "cat.v1.txt.png"):
        (cat.parent / name).write_bytes(b"x")
    (file,) = list_networks([cat.parent])
    assert [beside.name for beside in file.beside] == list(reversed(names))


def test_a_preview_lies_where_the_builtin_looks(cat: Path) -> None:
    assert write_preview(cat, b"picture", ".png") == cat.parent / "cat.v1.png"
    assert (cat.parent / "cat.v1.png").read_bytes() == b"picture"
    with pytest.raises(FileError, match="suffix"):
        write_preview(cat, b"", ".exe")


@pytest.mark.host
def test_the_builtin_reads_what_we_write_and_we_what_it_reads(cat: Path) -> None:
    lister = SimpleNamespace(exists=os.path.exists)
    shared: dict[str, Any] = {"os": os, "json": json, "errors": None}
    read: Any = builtin_functions("modules/extra_networks.py", ["get_user_metadata"], shared)[
        "get_user_metadata"
    ]
    shared["allowed_preview_extensions"] = lambda: {"png", "webp"}
    page: Any = SimpleNamespace(lister=lister, link_preview=lambda name: name)  # pyright: ignore[reportUnknownLambdaType]
    methods = builtin_functions(
        "modules/ui_extra_networks.py", ["find_description", "find_preview"], shared
    )
    write_notes(cat, BUILTINS)
    write_preview(cat, b"x", ".webp")
    (cat.parent / "cat.v1.txt").write_text("described")
    stem = os.path.splitext(cat)[0]
    assert read(str(cat), lister) == BUILTINS
    assert methods["find_description"](page, stem) == "described"
    assert methods["find_preview"](page, stem) == f"{stem}.webp"
    (file,) = list_networks([cat.parent])
    assert file.beside[-1].name == "cat.v1.webp"
