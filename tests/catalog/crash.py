"""Processes that work on one index: killed at random moments, or side by side.

Run as a process of its own, which imports once and then forks: `python -m tests.catalog.crash kill FOLDER`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lib_lyco.catalog.index import Index
from lib_lyco.catalog.query import Query
from tests.catalog.test_index import put

NUM_KILLS = 30
"""At least; a machine so busy that none had the time to do anything kills more, ever later."""
NUM_FILES = 40
NUM_USES = 150
NUM_PROCESSES = 3


class Place:
    """The folders of one run."""

    def __init__(self, folder: Path) -> None:
        self.networks = folder / "Lora"
        self.database = folder / "cache" / "index.sqlite"
        for number in range(NUM_FILES):
            put(self.networks / f"{number % 5}" / f"n{number}.safetensors")
        self.notes = self.networks / "0" / "n0.json"
        self.notes.write_text('{"theirs": 1}')
        self.preview = self.networks / "0" / "n0.png"

    def index(self) -> Index:
        return Index(self.database, [self.networks])


def forked(work: Callable[[], None]) -> int:
    """Starts a process that does some work and ends; returns its number."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        raise
    finally:
        os._exit(1)
    raise AssertionError


def busy(place: Place, seed: int, told: int) -> None:
    """Works until killed; writes a byte for each use that is counted for good."""
    rng = random.Random(seed)
    index = place.index()
    index.scan()
    while True:
        target = index.entry("n0").id
        index.use(target)
        os.write(told, b"u")
        index.write_notes(target, {"notes": "x" * rng.randrange(50_000), "description": f"{seed}"})
        size = rng.randrange(500_000)
        index.write_preview(target, b"%d " % size + b"x" * size, ".png")
        moving = place.networks / str(rng.randrange(5)) / f"moving{rng.randrange(3)}.safetensors"
        if moving.exists():
            moving.unlink()
        else:
            put(moving, when=rng.randrange(1_000_000_000))
        index.scan()


def check(place: Place, num_told: int, num_kills: int) -> None:
    """Everything can be read, and what was told to be done is done."""
    if place.database.exists():
        db = sqlite3.connect(place.database)
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        db.close()
    assert list(place.database.parent.glob("*broken*")) == []
    fields = json.loads(place.notes.read_text(encoding="utf-8"))
    assert fields["theirs"] == 1 and set(fields) <= {"theirs", "notes", "description"}
    if place.preview.exists():
        size, _, content = place.preview.read_bytes().partition(b" ")
        assert content == b"x" * int(size)
    index = place.index()
    # what the last listing says, whoever was killed after writing it
    assert all(card.path.name.startswith(("n", "moving")) for card in index.search(Query(limit=1000)).cards)
    report = index.scan()
    assert report.problems == ()
    cards = index.search(Query(limit=1000)).cards
    assert len(cards) == report.num_files >= NUM_FILES
    # a network that was being written when its writer was killed is itself broken, and says so
    assert all((card.facts.algo == "lora") == (card.problem is None) for card in cards)
    assert all(card.problem is None for card in cards if not card.stem.startswith("moving"))
    # each may have counted one without telling of it
    assert num_told <= index.card(index.entry("n0").id).used_count <= num_told + num_kills
    index.close()


def kill(place: Place) -> None:
    """Kills one process after the other."""
    rng = random.Random(5)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    num_told = seed = 0
    while seed < NUM_KILLS or not num_told:
        pid = forked(lambda seed=seed: busy(place, seed, writing))
        seed += 1
        time.sleep(rng.uniform(0.005, 0.4) * (1 + seed // NUM_KILLS))
        os.kill(pid, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(pid, 0)[1]), "it ended by itself"
        # killed before it had anything to tell
        with suppress(BlockingIOError):
            num_told += len(os.read(reading, 1 << 20))
        check(place, num_told, seed)


def share(place: Place) -> None:
    """Several processes begin the same index at once, and count the uses of the same network."""

    def count() -> None:
        index = place.index()
        index.scan()
        for _ in range(NUM_USES):
            index.use(index.entry("n0").id)
        os._exit(0)

    pids = [forked(count) for _ in range(NUM_PROCESSES)]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * NUM_PROCESSES
    index = place.index()
    assert index.scan().num_read == 0
    assert index.card(index.entry("n0").id).used_count == NUM_PROCESSES * NUM_USES
    index.close()


if __name__ == "__main__":
    {"kill": kill, "share": share}[sys.argv[1]](Place(Path(sys.argv[2])))
