"""A failed write leaves the old file, and says what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lib_lyco.errors import FileError
from lib_lyco.files.header import read_header
from lib_lyco.files.save import save_tensors
from tests.files.samples import mixed_tensors


def test_disk_without_room_keeps_the_old_file_and_names_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, mixed_tensors(), {"old": "yes"})
    size = path.stat().st_size
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6 - 10, 10))  # type: ignore[attr-defined]
        with pytest.raises(FileError) as caught:
            save_tensors(path, mixed_tensors(), {"old": "new"})
    assert "10 bytes free" in caught.value.got
    assert f"{size} bytes" in caught.value.expected
    assert read_header(path).metadata == {"old": "yes"}
    assert os.listdir(tmp_path) == ["a.safetensors"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failure_at_any_step_keeps_the_old_file_and_leaves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, mixed_tensors(), {"old": "yes"})

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(FileError, match="No space left"):
            save_tensors(path, mixed_tensors(), {"old": "new"})
    assert read_header(path).metadata == {"old": "yes"}
    assert os.listdir(tmp_path) == ["a.safetensors"]


@pytest.mark.skipif(sys.platform == "win32", reason="a limit on the size of files is POSIX's")
def test_real_limit_in_the_middle_of_the_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.ones(10)}, {"old": "yes"})
    before = path.read_bytes()
    program = (
        "import resource, signal, sys, torch\n"
        "from lib_lyco.errors import FileError\n"
        "from lib_lyco.files.save import save_tensors\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    save_tensors(sys.argv[1], {str(n): torch.ones(10_000) for n in range(9)}, {})\n"
        "except FileError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert "could not be written" in done.stdout
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_path_that_cannot_be_a_file_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "file").touch()
    for path in ("folder.safetensors", "file/a.safetensors", "nul\0.safetensors"):
        with pytest.raises(FileError):
            save_tensors(tmp_path / path, mixed_tensors(), {})
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.safetensors"]


def test_tensor_that_the_format_cannot_hold_is_named(tmp_path: Path) -> None:
    for tensor in (torch.ones(2, dtype=torch.complex128), torch.eye(2).to_sparse()):
        with pytest.raises(FileError, match="key"):
            save_tensors(tmp_path / "a.safetensors", {"key": tensor}, {})
    with pytest.raises(FileError):
        save_tensors(tmp_path / "a.safetensors", {"__metadata__": torch.ones(2)}, {})
    assert os.listdir(tmp_path) == []
