"""What a start shows before the folders have been read, and what is said while files are."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from lib_lyco.catalog import index as index_module
from lib_lyco.catalog.facts import read_facts
from lib_lyco.catalog.index import Index, Progress
from lib_lyco.catalog.layout import Layouts
from lib_lyco.catalog.query import Query
from lib_lyco.catalog.remembered import files_text, read_files
from lib_lyco.catalog.scan import Listing, list_folders
from tests.catalog.test_index import put

NUM_FILES = 300
PATIENCE = 30.0
"""Seconds after which a test that waits for a thread fails."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        put(tmp_path / "Lora" / f"set{number}" / f"net{number}.safetensors")
    (tmp_path / "Lora" / "set1" / "net1.json").write_text('{"notes": "mine"}')
    return tmp_path / "Lora"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "index.sqlite"


def scanned(database: Path, folder: Path) -> None:
    index = Index(database, [folder])
    index.scan()
    index.close()


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folders: Sequence[object]) -> Listing:
        raise AssertionError(f"{folders} were read")

    monkeypatch.setattr(index_module, "list_folders", fail)


def test_a_listing_comes_back_from_its_text(folder: Path) -> None:
    put(folder / os.fsdecode(b"caf\xe9 \xe7\x8c\xab {'\"}.safetensors"))
    files = list_folders([folder]).files
    assert any(file.beside for file in files)
    assert read_files(files_text(files)) == files
    for text in ("", "[", "[[1]]", '{"a": 1}'):
        assert read_files(text) == []


def test_a_start_shows_what_was_there_without_reading_folders(
    folder: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned(database, folder)
    forbid_reading(monkeypatch)
    index = Index(database, [folder])
    cards = index.search(Query()).cards
    assert [(card.name, card.facts.algo, card.side.notes) for card in cards] == [
        *(("net0", "lora", ""), ("net1", "lora", "mine"), ("net2", "lora", ""))
    ]
    assert [node.count for node in index.folders()] == [3]
    assert index.entry("net2").path == folder / "set2" / "net2.safetensors"
    index.close()


def test_what_changed_while_nobody_looked_is_found_by_the_first_look(folder: Path, database: Path) -> None:
    scanned(database, folder)
    (folder / "set0" / "net0.safetensors").unlink()
    put(folder / "set1" / "net1.safetensors", "sdxl", when=1_600_000_000)
    put(folder / "new.safetensors")
    index = Index(database, [folder])
    assert [card.name for card in index.search(Query()).cards] == ["net0", "net1", "net2"]
    assert index.follow()
    cards = index.search(Query()).cards
    assert [card.name for card in cards] == ["net1", "net2", "new"]
    assert cards[0].families == ("sdxl",)
    index.close()
    # and the next start knows it from the beginning
    again = Index(database, [folder])
    assert [card.name for card in again.search(Query()).cards] == ["net1", "net2", "new"]
    again.close()


def test_other_folders_remember_other_files(folder: Path, database: Path) -> None:
    scanned(database, folder)
    scanned(database, folder / "set1")
    for root, expected in ((folder, 3), (folder / "set1", 1), (folder / "set2", 0)):
        index = Index(database, [root])
        assert index.search(Query()).total == expected
        index.close()


def test_a_card_that_is_remembered_and_gone_is_not_found(folder: Path, database: Path) -> None:
    scanned(database, folder)
    (folder / "set0" / "net0.safetensors").rename(folder / "set2" / "net0.safetensors")
    index = Index(database, [folder])
    assert index.entry("net0").path == folder / "set2" / "net0.safetensors"
    index.close()


def test_answers_do_not_wait_for_a_scan_and_say_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan is held at its last file: what was read before is shown, the rest without facts."""
    for number in range(NUM_FILES):
        put(tmp_path / f"net{number}.safetensors")
    reached, go_on = threading.Event(), threading.Event()

    def slowly(path: Path, layouts: Layouts) -> object:
        if path.stem == last:
            reached.set()
            assert go_on.wait(PATIENCE)
        return read_facts(path, layouts)

    last = list_folders([tmp_path]).files[-1].stem
    monkeypatch.setattr(index_module, "read_facts", slowly)
    index = Index(None, [tmp_path])
    assert index.search(Query()).total == 0 and index.progress is None
    before = index.revision
    thread = threading.Thread(target=index.scan)
    thread.start()
    try:
        assert reached.wait(PATIENCE)
        started = time.monotonic()
        cards = index.search(Query(limit=NUM_FILES)).cards
        progress, news = index.progress, index.news
        assert time.monotonic() - started < PATIENCE / 2
    finally:
        go_on.set()
        thread.join()
    assert progress == Progress(256, NUM_FILES) and len(cards) == NUM_FILES
    assert news == "New files are being read: 256 of 300." and (index.news, index.problems) == ("", ())
    assert sum(card.facts.algo == "lora" for card in cards) == NUM_FILES - 1
    assert index.progress is None and index.revision != before
    assert all(card.facts.algo == "lora" for card in index.search(Query(limit=NUM_FILES)).cards)


def test_metadata_stay_in_the_file(folder: Path, tmp_path: Path) -> None:
    """All metadata together may be larger than the memory: nothing keeps them once they were asked for."""
    path = put(tmp_path / "other" / "big.safetensors", ss_tag_frequency="x" * 1_000_000)
    index = Index(None, [path.parent])
    index.scan()
    entry = index.entry("big")
    assert len(entry.metadata["ss_tag_frequency"]) == 1_000_000
    assert not any("x" * 1000 in repr(value) for value in vars(entry).values())
