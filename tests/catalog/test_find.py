"""A name finds its file by path, name, alias or hash, and nothing outside the folders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lib_lyco.catalog.find import find_network
from lib_lyco.catalog.scan import list_networks
from lib_lyco.errors import NetworkNotFoundError

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


def test_two_files_of_one_name_are_both_named(folder: Path) -> None:
    with pytest.raises(NetworkNotFoundError, match="old/anna, people/anna"):
        find_network("anna", [folder])


def test_misspelt_name_gets_suggestions(folder: Path) -> None:
    with pytest.raises(NetworkNotFoundError) as caught:
        find_network("people/ana", [folder])
    assert "people/anna" in caught.value.remedy
    with pytest.raises(NetworkNotFoundError) as caught:
        find_network("stylee", [folder])
    assert "style" in caught.value.remedy
    with pytest.raises(NetworkNotFoundError, match="Check the name"):
        find_network("zzzzzz", [folder, folder / "absent"])


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
