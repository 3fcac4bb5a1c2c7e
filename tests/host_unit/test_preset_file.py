"""The user's file of block presets: as it is now, and never fatal."""

from __future__ import annotations

import os
from pathlib import Path

from lib_lyco.host.preset_file import PresetFile


def test_a_file_that_was_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "presets.txt"
    path.write_text("FACE:IN04\n", encoding="utf-8")
    presets = PresetFile(lambda: str(path))
    assert "FACE" in presets.read().blocks
    assert presets.read() is presets.read()
    path.write_text("HANDS:IN05\n", encoding="utf-8")
    os.utime(path, ns=(1, 1))
    assert "HANDS" in presets.read().blocks
    assert "FACE" not in presets.read().blocks


def test_another_path_is_another_file(tmp_path: Path) -> None:
    for name in ("ONE", "TWO"):
        (tmp_path / name).write_text(f"{name}:IN04\n", encoding="utf-8")
    chosen = [str(tmp_path / "ONE")]
    presets = PresetFile(lambda: chosen[0])
    assert "ONE" in presets.read().blocks
    chosen[0] = str(tmp_path / "TWO")
    assert "TWO" in presets.read().blocks
    chosen[0] = " "
    assert "TWO" not in presets.read().blocks


def test_a_file_that_cannot_be_read_is_a_problem_and_the_built_in_presets_stay(tmp_path: Path) -> None:
    (tmp_path / "utf16").write_bytes("FACE:IN04".encode("utf-16"))
    for name in ("utf16", "missing"):
        found = PresetFile(lambda name=name: str(tmp_path / name)).read()
        assert name in found.problems[0].where
        assert "INS" in found.blocks
