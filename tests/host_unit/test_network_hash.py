"""Hashes computed before, from the WebUI's cache: found at once, and without a question for each file."""

from __future__ import annotations

import importlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from lib_lyco.catalog.scan import NetworkFile, list_folders
from tests.catalog.test_find import put
from tests.host_unit.stand_in import stand_in_modules

HASH = "c3" * 32


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Section(dict[str, Any]):
    """One of the host's caches; counts the questions."""

    num_asked = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.num_asked += 1
        return super().get(key, default)


@pytest.fixture
def sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[dict[str, Section]]:
    with stand_in_modules(tmp_path / "data"):
        found = {"hashes": Section(), "hashes-addnet": Section()}
        monkeypatch.setattr(importlib.import_module("modules.cache"), "cache", found.__getitem__)
        yield found


@pytest.fixture
def file(tmp_path: Path) -> NetworkFile:
    put(tmp_path / "Lora" / "cat.safetensors")
    return list_folders([tmp_path / "Lora"]).files[0]


def known(clock: Clock) -> Any:
    return importlib.import_module("lib_lyco.host.network_hash").KnownHashes(clock)


@pytest.mark.parametrize("title", ["lyco/{place}", "lora/cat"])
def test_ours_and_the_builtins_are_found(
    sections: dict[str, Section], file: NetworkFile, title: str
) -> None:
    """The builtin's title is the file's name alone; the exact time of change says which file it was."""
    mtime = file.path.stat().st_mtime
    sections["hashes-addnet"][title.format(place=file.place)] = {"mtime": mtime, "sha256": HASH}
    hashes = known(Clock())
    assert hashes.of(file) == HASH
    changed = file._replace(stamp=(file.stamp[0] + 1_000_000, file.stamp[1]))
    assert hashes.of(changed) is None


def test_of_unknown_files_nobody_is_asked(sections: dict[str, Section], file: NetworkFile) -> None:
    section = sections["hashes-addnet"]
    section["lora/another"] = {"mtime": 1.0, "sha256": HASH}
    hashes = known(Clock())
    assert [hashes.of(file) for _ in range(100)] == [None] * 100
    assert section.num_asked == 0


def test_what_is_computed_later_is_found_a_second_later(
    sections: dict[str, Section], file: NetworkFile
) -> None:
    clock = Clock()
    hashes = known(clock)
    assert hashes.of(file) is None
    sections["hashes-addnet"]["lora/cat"] = {"mtime": file.path.stat().st_mtime, "sha256": HASH}
    clock.now += 1.1
    assert [hashes.of(file) for _ in range(100)] == [HASH] * 100
    assert sections["hashes-addnet"].num_asked <= 2
