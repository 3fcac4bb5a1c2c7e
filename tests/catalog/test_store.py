"""The database is whole after anything, and what is kept outlives it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib_lyco.catalog import store as module
from lib_lyco.catalog.index import Index
from lib_lyco.catalog.query import Query
from lib_lyco.catalog.store import Kept, Row, Store
from tests.architecture import ROOT
from tests.catalog.test_index import Clock, put

KEPT = [
    Kept(f"/networks/{n}.safetensors", f"c{n}", float(n), n % 2 == 0, n, 1e9 + n, "") for n in range(2000)
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "index.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    found = Store(path)
    found.keep(KEPT)
    found.save([Row(one.path, "1", "2", "3", "4") for one in KEPT])
    yield found
    found.close()


def aside(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.glob("*broken*.sqlite"))


def test_everything_comes_back(store: Store, path: Path) -> None:
    store.star("/new", True)
    store.use("/new", 5.0)
    store.use("/new", 6.0)
    store.choose_preview("/new", "a.png")
    store.close()
    again = Store(path)
    assert again.kept() == {one.path: one for one in (*KEPT, Kept("/new", "", 0.0, True, 2, 6.0, "a.png"))}
    assert again.rows()[KEPT[3].path] == Row(KEPT[3].path, "1", "2", "3", "4")
    assert again.problem is None and aside(path) == []
    again.close()


def test_paths_that_are_no_text_are_kept(store: Store) -> None:
    odd = os.fsdecode(b"/caf\xe9/'\";--.safetensors")
    store.star(odd, True)
    assert store.kept()[odd].starred


@pytest.mark.parametrize(
    "content", [b"", b"not a database, but long enough to be looked at" * 99, b"SQLite format 3\0"]
)
def test_a_file_that_is_no_database_is_set_aside(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    store = Store(path)
    store.star("/a", True)
    assert list(store.kept()) == ["/a"] and store.problem is None
    store.close()
    # an empty file is how SQLite itself begins
    assert aside(path) == (["index.broken-1.sqlite"] if content else [])
    if content:
        assert (path.parent / aside(path)[0]).read_bytes() == content


def test_a_database_of_another_program_is_set_aside_whole(path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE files(path TEXT)")
    other.execute("INSERT INTO files VALUES('precious')")
    other.commit()
    other.close()
    store = Store(path)
    store.star("/a", True)
    store.close()
    other = sqlite3.connect(path.parent / aside(path)[0])
    assert other.execute("SELECT path FROM files").fetchall() == [("precious",)]
    other.close()


@pytest.mark.parametrize("table", ["files", "kept"])
def test_stars_are_rescued_from_a_broken_database(store: Store, path: Path, table: str) -> None:
    """Some pages in the middle of one table are overwritten; what else can be read is there afterwards."""
    store.close()
    raw = sqlite3.connect(path)
    size = raw.execute("PRAGMA page_size").fetchone()[0]
    root = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    raw.close()
    with path.open("r+b") as file:
        if table == "files":
            file.seek((root - 1) * size)
            file.write(b"\xff" * size)
        else:
            file.seek(path.stat().st_size // 2 // size * size)
            file.write(b"\xff" * 3 * size)
    again = Store(path)
    again.save([Row("/new", "", "", "", "")])
    again.rows()
    found = again.kept()
    again.rows()
    assert again.problem is None and again.kept() == found
    expected = {one.path: one for one in KEPT}
    assert found.items() <= expected.items() and len(found) > 0.8 * len(expected)
    if table == "files":
        assert found == expected and aside(path)
    check = sqlite3.connect(path)
    assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    check.close()
    again.close()


def test_another_version_drops_facts_and_keeps_stars(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    newer = Store(path)
    assert newer.rows() == {} and len(newer.kept()) == len(KEPT)
    assert aside(path) == []
    newer.close()


def test_where_nothing_can_be_written_memory_does(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    store = Store(tmp_path / "file" / "index.sqlite")
    store.star("/a", True)
    assert store.kept()["/a"].starred
    assert "memory only" in str(store.problem)
    store.close()


def test_a_database_removed_while_in_use_is_written_again(tmp_path: Path) -> None:
    folder, path = tmp_path / "Lora", tmp_path / "cache" / "index.sqlite"
    for name in ("a", "b"):
        put(folder / f"{name}.safetensors")
    index = Index(path, [folder], clock=Clock())
    index.scan()
    index.star(index.entry("a").id, True)
    for file in path.parent.iterdir():
        file.unlink()
    index.scan()
    assert [card.name for card in index.search(Query(starred=True)).cards] == ["a"]
    index.close()
    later = Index(path, [folder], clock=Clock())
    assert later.scan().num_read == 0
    assert [card.name for card in later.search(Query(starred=True)).cards] == ["a"]
    later.close()


def test_a_lock_held_by_another_process_is_waited_for(store: Store, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE kept SET starred = 1")
    assert len(store.kept()) == len(KEPT)
    other.execute("COMMIT")
    other.close()
    store.star("/b", True)
    assert all(one.starred for one in store.kept().values())


@pytest.mark.skipif(os.name == "nt", reason="no fork, no SIGKILL on Windows")
@pytest.mark.parametrize("task", ["kill", "share"])
def test_processes_that_share_an_index_and_are_killed(tmp_path: Path, task: str) -> None:
    """Thirty processes scan, star, count and write notes, and are killed at random moments; or three count
    at once. What they were told to be done is done, and everything can be read: see `crash`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.catalog.crash", task, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
