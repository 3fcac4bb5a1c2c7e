"""Whether one content is taken for another: by its bytes, or by what the file system says."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lib_lyco.errors import FileError
from lib_lyco.files import identity
from lib_lyco.files.identity import TICK_NS, FileState, hash_content
from lib_lyco.files.tensors import read_content


def test_hash_follows_every_byte_and_nothing_else() -> None:
    content = bytearray(9 << 20)
    first = hash_content(memoryview(content))
    assert hash_content(memoryview(bytes(content))) == first
    found = {
        first,
        hash_content(memoryview(content)[:-1]),
        hash_content(memoryview(bytes(9 << 20) + b"\0")),
    }
    for place in (0, 4 << 20, len(content) - 1):
        content[place] = 1
        found.add(hash_content(memoryview(content)))
        content[place] = 0
    assert len(found) == 6


def test_state_is_settled_once_a_change_would_show(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a")
    state = FileState.at(path)
    with open(path, "rb") as file:
        assert FileState.of(file) == state
    changed = max(state.mtime_ns, state.ctime_ns)
    assert not state.is_settled(changed + TICK_NS)
    assert state.is_settled(changed + TICK_NS + 1)
    # without a number two files may have one state
    assert not replace(state, inode=0).is_settled(changed + TICK_NS + 1)
    # an old time of modification, as a copying tool sets it, does not settle a new file
    os.utime(path, ns=(10**18, 10**18))
    assert not FileState.at(path).is_settled(time.time_ns())
    with pytest.raises(FileError):
        FileState.at(tmp_path / "absent")


def test_young_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    path, copy = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file({"t": torch.zeros(9)}, path)
    copy.write_bytes(path.read_bytes())
    first = read_content(path).content_id
    assert read_content(copy).content_id == first
    save_file({"t": torch.ones(9)}, path)
    assert read_content(path).content_id != first


def test_settled_file_is_known_by_its_state_without_hashing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise AssertionError("all bytes were hashed")

    monkeypatch.setattr(identity, "TICK_NS", -1)
    monkeypatch.setattr("lib_lyco.files.tensors.hash_content", fail)
    path, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file({"t": torch.zeros(9)}, path)
    save_file({"t": torch.ones(9)}, other)
    first = read_content(path).content_id
    assert read_content(path).content_id == first
    assert read_content(other).content_id != first
    # what is put in its place is another file, also with the old one's time and size
    status = path.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(other, path)
    assert read_content(path).content_id != first
