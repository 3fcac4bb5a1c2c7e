"""The catalog answers from memory, sees what changes on disk, and tells equal names apart."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from lib_lyco.catalog import catalog as catalog_module
from lib_lyco.catalog import entry as entry_module
from lib_lyco.catalog.catalog import Catalog
from lib_lyco.catalog.scan import Listing, list_folders
from lib_lyco.errors import NetworkNotFoundError
from tests.catalog.test_find import HASH, folder, put

__all__ = ["folder"]


@pytest.fixture
def num_walks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each reading of the folders."""
    walks: list[int] = []

    def counted(folders: tuple[Path, ...]) -> Listing:
        walks.append(1)
        return list_folders(folders)

    monkeypatch.setattr(catalog_module, "list_folders", counted)
    return walks


def test_a_known_name_reads_no_folder_and_no_header(
    folder: Path, num_walks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog([folder])
    assert catalog.find("cat") == folder / "cat.safetensors"
    monkeypatch.setattr(entry_module, "read_metadata", None)
    monkeypatch.setattr(os, "scandir", None)
    for _ in range(3):
        assert catalog.find("old/cat") == folder / "old" / "cat.safetensors"
    assert len(num_walks) == 1


def test_a_new_file_is_found_by_its_first_tag(folder: Path, num_walks: list[int]) -> None:
    catalog = Catalog([folder])
    catalog.find("cat")
    new = put(folder / "new" / "dog.safetensors", {"ss_output_name": "hound"})
    assert catalog.find("dog") == new
    assert catalog.find("hound") == new
    assert len(num_walks) == 2
    with pytest.raises(NetworkNotFoundError):
        catalog.find("absent")
    assert len(num_walks) == 3


def test_a_removed_file_is_gone_and_a_moved_one_is_found(folder: Path) -> None:
    catalog = Catalog([folder])
    catalog.find("cat")
    (folder / "cat.safetensors").unlink()
    assert catalog.find("cat") == folder / "old" / "cat.safetensors"
    (folder / "old" / "cat.safetensors").rename(folder / "people" / "cat.safetensors")
    assert catalog.find("cat") == folder / "people" / "cat.safetensors"
    (folder / "people" / "cat.safetensors").unlink()
    with pytest.raises(NetworkNotFoundError):
        catalog.find("cat")


def test_a_rewritten_header_is_read_again_and_no_other(folder: Path) -> None:
    catalog = Catalog([folder])
    before = {entry.name: entry for entry in catalog.list()}
    assert before["cat"].alias == "cat"
    put(folder / "cat.safetensors", {"ss_output_name": "kitten"})
    catalog.refresh()
    after = {entry.name: entry for entry in catalog.list()}
    assert after["cat"].alias == "kitten"
    assert {name for name in after if after[name] is not before[name]} == {"cat"}


def test_a_renamed_file_is_found_by_its_hash(folder: Path) -> None:
    catalog = Catalog([folder])
    (folder / "people" / "anna.safetensors").rename(folder / "people" / "berta.safetensors")
    found = catalog.find_hash(HASH[:12])
    assert found is not None and found.name == "people/berta"
    assert catalog.find(HASH[:10]) == folder / "people" / "berta.safetensors"
    found = catalog.find_hash(f"0x{HASH[::-1]}"[:12])
    assert found is not None and found.name == "old/anna"
    assert [catalog.find_hash(text) for text in ("", "zz", HASH[:7], "f" * 12)] == [None] * 4


def test_hashes_computed_by_others_count(folder: Path) -> None:
    """A file that states no hash is known by the one that `hash_of` has, asked anew each time."""
    known: dict[str, str] = {}
    catalog = Catalog([folder], lambda file: known.get(file.place))
    assert catalog.find_hash("ab" * 6) is None
    known[str(folder / "cat.safetensors")] = "ab" * 32
    found = catalog.find_hash("ab" * 6)
    assert found is not None and found.name == "cat"


def test_copies_answer_once_and_different_files_not_at_all(folder: Path) -> None:
    put(folder / "copy" / "anna2.safetensors", {"sshs_model_hash": HASH})
    # what every file below 1 MiB has as kohya's legacy hash
    put(folder / "a.safetensors", {"sshs_model_hash": "1" * 64, "sshs_legacy_hash": "e3b0c442"})
    put(folder / "b.safetensors", {"sshs_model_hash": "2" * 64, "sshs_legacy_hash": "e3b0c442"})
    catalog = Catalog([folder])
    found = catalog.find_hash(HASH[:12])
    assert found is not None and found.name == "copy/anna2"
    assert catalog.find_hash("e3b0c442") is None
    with pytest.raises(NetworkNotFoundError, match="Several"):
        catalog.find("e3b0c442")


def test_short_name_is_enough_to_find_the_file(folder: Path, tmp_path: Path) -> None:
    second = put(tmp_path / "LyCORIS" / "cat.safetensors").parent
    put(second / "only.safetensors")
    catalog = Catalog([folder, second])
    entries = catalog.list()
    assert [catalog.find(catalog.short_name(entry)) for entry in entries] == [e.path for e in entries]
    names = {str(entry.path.relative_to(tmp_path)): catalog.short_name(entry) for entry in entries}
    assert names["Lora/My.Style v1.safetensors"] == "My.Style v1"
    assert names["Lora/old/cat.safetensors"] == "old/cat"
    assert names["LyCORIS/cat.safetensors"] == "LyCORIS/cat"
    assert names["LyCORIS/only.safetensors"] == "only"


def test_a_folder_within_another_is_read_once(folder: Path) -> None:
    names = [entry.name for entry in Catalog([folder, folder / "old", folder]).list()]
    assert sorted(names) == ["My.Style v1", "cat", "old/anna", "old/cat", "people/anna"]


def test_several_threads_get_the_same_answers(folder: Path) -> None:
    catalog = Catalog([folder])
    wrong: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(50):
                assert catalog.find("style") == folder / "My.Style v1.safetensors"
                catalog.refresh()
        except (AssertionError, NetworkNotFoundError, RuntimeError, KeyError) as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
