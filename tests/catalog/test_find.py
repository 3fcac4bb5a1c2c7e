"""A name finds its file by path, name, alias or hash, and nothing outside the folders."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from lib_lyco.catalog.catalog import Catalog
from lib_lyco.catalog.find import find_network
from lib_lyco.catalog.scan import list_networks
from lib_lyco.errors import NetworkNotFoundError
from tests.catalog.builtin import builtin_functions

HASH = "0123456789abcdef" * 4


def put(path: Path, metadata: Mapping[str, str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"a": torch.zeros(1)}, path, metadata=dict(metadata or {}))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The networks folder, inside another one that holds a network too."""
    put(tmp_path / "outside.safetensors")
    root = tmp_path / "Lora"
    put(root / "cat.safetensors")
    put(root / "My.Style v1.safetensors", {"ss_output_name": "style"})
    put(root / "people" / "anna.safetensors", {"sshs_model_hash": HASH})
    put(root / "old" / "anna.safetensors", {"sshs_model_hash": f"0x{HASH[::-1]}"})
    put(root / "old" / "cat.safetensors")
    return root


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cat", "cat.safetensors"),
        ("CAT", "cat.safetensors"),
        (" cat.safetensors ", "cat.safetensors"),
        ("old/cat", "old/cat.safetensors"),
        ("old\\cat", "old/cat.safetensors"),
        ("people/anna.safetensors", "people/anna.safetensors"),
        ("My.Style v1", "My.Style v1.safetensors"),
        ("style", "My.Style v1.safetensors"),
        (HASH[:12], "people/anna.safetensors"),
        (HASH, "people/anna.safetensors"),
        (f"0x{HASH[::-1]}"[:12], "old/anna.safetensors"),
    ],
)
def test_name_finds_its_file(folder: Path, name: str, file: str) -> None:
    assert find_network(name, [folder]) == folder / file


@pytest.mark.parametrize(
    "name",
    ["../outside", "outside", "/etc/passwd", "old/../cat", "", ".", "old", "01234567890", "cat/", "nul\0"],
)
def test_name_leads_nowhere_else(folder: Path, name: str) -> None:
    with pytest.raises(NetworkNotFoundError):
        find_network(name, [folder])
    with pytest.raises(NetworkNotFoundError):
        find_network(str(folder.parent / "outside.safetensors"), [folder])


def test_of_two_files_of_one_name_the_builtins_is_taken_and_the_other_named(folder: Path) -> None:
    """By hand from its `walk_files`: folders by name, numbers by value, and the last file counts."""
    catalog = Catalog([folder])
    assert catalog.find("anna") == folder / "people" / "anna.safetensors"
    assert catalog.others("ANNA") == ("old/anna",)
    assert catalog.others("cat") == ("old/cat",) and catalog.others("style") == ()
    put(folder / "v10" / "anna.safetensors")
    put(folder / "v9" / "anna.safetensors")
    catalog.refresh()
    assert catalog.find("anna") == folder / "v10" / "anna.safetensors"
    assert catalog.others("anna") == ("old/anna", "people/anna", "v9/anna")


def test_the_builtin_takes_the_same_of_several(folder: Path) -> None:
    second = folder.parent / "LyCORIS"
    for place in ("v2/x", "v10/x", "V3/x", "a b/y", "a/y", "a-b/y"):
        put(folder / f"{place}.safetensors")
    put(second / "z" / "anna.safetensors")
    scope = builtin_functions("modules/util.py", ["walk_files", "natural_sort_key"], {"os": os, "re": re})
    scope["shared"] = SimpleNamespace(opts=SimpleNamespace(list_hidden_files=True))
    for name in ("anna", "x", "y"):
        met = [Path(path) for root in (folder, second) for path in scope["walk_files"](str(root))]
        assert find_network(name, [folder, second]) == [path for path in met if path.stem == name][-1]


def test_names_that_differ_in_case_only_are_not_guessed(folder: Path) -> None:
    put(folder / "old" / "Anna.safetensors")
    with pytest.raises(NetworkNotFoundError, match="old/Anna, old/anna, people/anna"):
        find_network("ANNA", [folder])


def test_misspelt_name_gets_suggestions(folder: Path) -> None:
    with pytest.raises(NetworkNotFoundError) as caught:
        find_network("people/ana", [folder])
    assert "people/anna" in caught.value.remedy
    with pytest.raises(NetworkNotFoundError) as caught:
        find_network("stylee", [folder])
    assert "style" in caught.value.remedy
    with pytest.raises(NetworkNotFoundError, match="Check the name"):
        find_network("zzzzzz", [folder, folder / "absent"])


@pytest.mark.skipif(os.name == "nt", reason="no colons in names on Windows")
def test_a_name_cut_at_its_colon_is_told_its_hash(folder: Path) -> None:
    put(folder / "dog:2.safetensors")
    with pytest.raises(NetworkNotFoundError) as caught:
        find_network("dog", [folder])
    assert caught.value.remedy == (
        "No tag can hold a name with a colon: for 'dog:2' write its hash, or rename the file."
    )
    put(folder / "bird:2.safetensors", {"sshs_model_hash": "5" * 64})
    with pytest.raises(NetworkNotFoundError, match="no network called") as caught:
        find_network("bird", [folder])
    assert caught.value.remedy.endswith(f"for 'bird:2' write {'5' * 12}.")


def test_first_folder_and_first_suffix_win(folder: Path, tmp_path: Path) -> None:
    second = put(tmp_path / "LyCORIS" / "cat.safetensors").parent
    (folder / "cat.pt").write_bytes(b"x")
    assert find_network("cat", [folder, second]) == folder / "cat.safetensors"
    assert find_network("cat", [second, folder]) == second / "cat.safetensors"


def test_broken_and_foreign_files_hide_nothing(folder: Path) -> None:
    (folder / "broken.safetensors").write_bytes(b"broken")
    (folder / "notes.txt").write_text("x")
    (folder / ".cat.safetensors.0.tmp").write_bytes(b"x")
    (folder / "._cat.safetensors").write_bytes(b"left by macOS")
    names = [file.name for file in list_networks([folder])]
    assert names == ["My.Style v1", "broken", "cat", "old/anna", "old/cat", "people/anna"]
    assert find_network("style", [folder]).name == "My.Style v1.safetensors"
    assert find_network("broken", [folder]) == folder / "broken.safetensors"


def test_hidden_folders_can_be_named(folder: Path) -> None:
    put(folder / ".drafts" / "ann.safetensors")
    assert find_network("ann", [folder]) == folder / ".drafts" / "ann.safetensors"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_linked_folders_are_entered_once(folder: Path, tmp_path: Path) -> None:
    put(tmp_path / "disk2" / "far.safetensors")
    os.symlink(tmp_path / "disk2", folder / "more")
    os.symlink(folder, folder / "old" / "loop")
    assert find_network("more/far", [folder]) == folder / "more" / "far.safetensors"
    assert [file.name for file in list_networks([folder])].count("cat") == 1
    assert not any("loop" in file.name for file in list_networks([folder]))
