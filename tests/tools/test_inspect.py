"""What a file is, told from its header: every kind of file that the dialects list."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lib_lyco.errors import FileError, UnsafeFileError
from lib_lyco.naming.key import split_key
from lib_lyco.tools.inspect import inspect
from tests.dialects.files import SAMPLES, Sample, written
from tests.dialects.spelling import kohya
from tests.files.test_tensors import Evil
from tests.network.samples import CONV, Q, lora, small_network


def sparse_file(path: Path, shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]) -> Path:
    """A file of float16 tensors whose zeros take no room on the disk."""
    fields: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for key, shape in shapes.items():
        start, end = end, end + 2 * int(torch.Size(shape).numel())
        fields[key] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
    header = json.dumps(fields).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + end)
    return path


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.name for sample in SAMPLES])
def test_every_kind_of_file_is_described_from_its_header(tmp_path: Path, sample: Sample) -> None:
    path = sparse_file(tmp_path / "a.safetensors", sample.shapes, sample.metadata)
    report = inspect(path)
    assert report.num_bytes == path.stat().st_size
    assert report.num_tensors == len(sample.shapes)
    assert (report.family, report.other) == (sample.family, sample.other)
    if sample.family is None:
        assert len(report.unknown) == len(sample.shapes) and not report.algos
    else:
        splits = [split_key(key) for key in sample.shapes]
        num_layers = len({split.stem for split in splits if split})
        assert report.unknown == () and report.unmatched == ()
        assert sum(report.algos.values()) == num_layers
        assert sum(report.blocks.values()) == sum(report.components.values()) == num_layers
    assert json.loads(report.to_json())["evidence"] == report.evidence
    assert report.evidence in report.to_text()


def test_header_alone_is_read_of_a_large_file(tmp_path: Path) -> None:
    shapes = {f"lora_te_text_model_encoder_layers_0_mlp_fc1.{part}": (20_000, 20_000) for part in ("diff",)}
    path = sparse_file(tmp_path / "large.safetensors", shapes, {})
    tracemalloc.start()
    report = inspect(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.num_bytes > 800_000_000
    assert peak < 20_000_000
    assert report.algos == {"full": 1}
    assert "20000" in report.unmatched[0].reason


def test_ranks_alphas_blocks_and_dtypes_are_counted(tmp_path: Path) -> None:
    tensors = {**small_network(), **lora(CONV, 8, 8, rank=4)}
    tensors[f"{Q}.alpha"] = torch.tensor(0.5).half()
    del tensors["lora_te_text_model_encoder_layers_3_mlp_fc1.alpha"]
    path = tmp_path / "a.safetensors"
    save_file(tensors, path)
    report = inspect(path)
    assert report.ranks == {"2": 2, "4": 1}
    assert report.alphas == {"0.5": 1, "4": 1, "missing": 1}
    assert report.blocks == {"BASE": 1, "IN01": 1, "MID": 1}
    assert report.components == {"unet": 2, "te1": 1}
    assert report.dtypes == {"float32": 7, "float16": 1}
    assert [finding.what for finding in report.unmatched] == ["unet:mid_block.resnets.0.conv1"]


def test_metadata_becomes_words_and_facts(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    metadata = {
        "ss_tag_frequency": json.dumps({"10_a": {"cat": 3, "sks ": 9}, "5_b": {"cat": 4, "dog": 1}}),
        "modelspec.trigger_phrase": "sks cat",
        "ss_learning_rate": "0.0001",
        "ss_text_encoder_lr": "None",
        "sshs_model_hash": "ab" * 32,
    }
    save_file(small_network(), path, metadata=metadata)
    report = inspect(path)
    assert report.trigger_words == ("sks cat", "sks", "cat", "dog")
    assert report.training == {"ss_learning_rate": 0.0001}
    assert report.stated_hash == "ab" * 32


@pytest.mark.parametrize("text", ["[]", '{"a": 1}', '{"a": {"b": "c"}}', "{", '{"a": null}', "None"])
def test_odd_tag_frequencies_cost_nothing_else(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.safetensors"
    save_file(small_network(), path, metadata={"ss_tag_frequency": text})
    report = inspect(path)
    assert report.trigger_words == () and report.algos == {"lora": 3}


def test_nan_is_found_only_when_asked_for(tmp_path: Path) -> None:
    tensors = small_network()
    tensors[f"{CONV}.lora_up.weight"][0] = float("inf")
    path = tmp_path / "a.safetensors"
    save_file(tensors, path)
    assert inspect(path).not_finite is None
    report = inspect(path, deep=True)
    assert report.not_finite is not None
    assert [(finding.what, finding.reason) for finding in report.not_finite] == [
        (f"{CONV}.lora_up.weight", "2 of 16 values")
    ]
    assert f"{CONV}.lora_up.weight: 2 of 16 values" in report.to_text()


def test_embedding_is_told_to_be_one(tmp_path: Path) -> None:
    torch.save({"string_to_param": {"*": torch.ones(2, 768)}, "name": "cat"}, tmp_path / "cat.pt")
    report = inspect(sparse_file(tmp_path / "a.safetensors", {"clip_g": (4, 1280), "clip_l": (4, 768)}, {}))
    for told in (report, inspect(tmp_path / "cat.pt")):
        assert "textual-inversion embedding" in told.evidence and "embeddings folder" in told.to_text()


def test_pickled_file_is_described_too(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"state_dict": small_network()}, path)
    report = inspect(path, deep=True)
    assert (report.family, report.algos, report.alphas) == ("sd1", {"lora": 3}, {"2": 3})
    assert report.not_finite == ()


def test_text_shortens_long_lists_and_stays_on_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    odd = {f"odd.{n}\x1b[2J": torch.zeros(1) for n in range(30)}
    save_file({**small_network(), **odd}, path, metadata={"ss_output_name": "a\n\x1b[31mb"})
    text = inspect(path).to_text()
    assert "30 unknown keys:" in text and "... and 22 more" in text
    assert "\x1b" not in text and "output name     a  [31mb" in text


def test_bad_files_raise_our_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"nonsense, not a header")
    with pytest.raises(FileError, match="header"):
        inspect(path)
    torch.save({"a": Evil()}, path)
    with pytest.raises(UnsafeFileError):
        inspect(path)
    with pytest.raises(FileError):
        inspect(tmp_path)


def test_network_of_a_full_models_size_is_described(tmp_path: Path) -> None:
    shapes = written("sdxl", kohya, r"unet:.*attn.*to_[qkv]$", lambda shape: {"diff": shape})
    report = inspect(sparse_file(tmp_path / "a.safetensors", shapes, {}))
    assert report.num_bytes > 10**9 and report.algos == {"full": len(shapes)}
