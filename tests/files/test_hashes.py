"""The hashes against their published definitions, recomputed here from raw bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from lib_lyco.files.hashes import (
    file_hash,
    kohya_hash,
    kohya_legacy_hash,
    lycoris_hash,
    short_hash,
    stated_hash,
)
from tests.files.samples import mixed_tensors


def large_tensors() -> dict[str, Tensor]:
    """Over the 1 MiB + 64 KiB that the legacy hash looks at, in several tensors."""
    generator = torch.Generator().manual_seed(1)
    return {f"t{n}": torch.randn(100_000, generator=generator) for n in range(4)} | mixed_tensors()


def test_kohya_hash_is_sha256_of_all_bytes_after_the_header(tmp_path: Path) -> None:
    for tensors in (mixed_tensors(), large_tensors()):
        raw = save(tensors, metadata={"ss_x": "1", "title": "t"})
        expected = hashlib.sha256(raw[8 + int.from_bytes(raw[:8], "little") :]).hexdigest()
        assert kohya_hash(tensors) == expected
        (tmp_path / "a.safetensors").write_bytes(raw)
        assert file_hash(tmp_path / "a.safetensors") == expected


@pytest.mark.parametrize("tensors", [mixed_tensors(), large_tensors()], ids=["small", "large"])
def test_legacy_hash_is_of_the_second_mebibytes_start_with_ss_metadata_only(
    tensors: dict[str, Tensor],
) -> None:
    metadata = {"ss_output_name": "ü", "ss_steps": "7", "modelspec.title": "left out", "sshs_x": "left out"}
    raw = save(tensors, metadata={"ss_output_name": "ü", "ss_steps": "7"})
    expected = hashlib.sha256(raw[0x100000:0x110000]).hexdigest()[:8]
    assert kohya_legacy_hash(tensors, metadata) == expected


def test_legacy_hash_of_a_small_file_is_the_hash_of_nothing() -> None:
    assert kohya_legacy_hash(mixed_tensors(), {}) == "e3b0c442"


def test_lycoris_hash_equals_what_lycoris_writes() -> None:
    utils = pytest.importorskip("lycoris.utils")
    tensors = {key: value for key, value in mixed_tensors().items() if value.numel()}
    assert lycoris_hash(tensors) == utils.precalculate_safetensors_hashes(tensors)


def test_stated_hash_is_taken_in_both_forms_and_nothing_else() -> None:
    hexadecimal = "0123456789abcdef" * 4
    assert stated_hash({"sshs_model_hash": hexadecimal.upper()}) == hexadecimal
    assert stated_hash({"sshs_model_hash": f"0x{hexadecimal}"}) == f"0x{hexadecimal}"
    for wrong in ("", "None", hexadecimal[1:], f"0x{hexadecimal[1:]}", f"{hexadecimal}0"):
        assert stated_hash({"sshs_model_hash": wrong}) is None
    assert stated_hash({}) is None
    assert short_hash(f"0x{hexadecimal}") == "0x0123456789"
