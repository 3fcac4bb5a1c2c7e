"""What a card says of a file comes from its header: algorithm, rank, base model, problems."""

from __future__ import annotations

import base64
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lib_lyco.catalog import facts as facts_module
from lib_lyco.catalog import layout as layout_module
from lib_lyco.catalog.facts import FileFacts, cover_texts, read_facts
from lib_lyco.catalog.layout import Layouts
from lib_lyco.files import pickled as pickled_module
from lib_lyco.files.header import read_metadata
from tests.dialects.files import SAMPLES, Sample
from tests.dialects.files import lora as lora_parts
from tests.network.written import by_lycoris
from tests.tools.test_inspect import sparse_file

SHAPES = {sample.name: sample for sample in SAMPLES}


def facts_of(path: Path) -> FileFacts:
    return read_facts(path, Layouts())


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.name for sample in SAMPLES])
def test_base_model_is_the_one_of_the_shapes(tmp_path: Path, sample: Sample) -> None:
    facts = facts_of(sparse_file(tmp_path / "a.safetensors", sample.shapes, sample.metadata))
    assert (facts.problem is None) == bool(sample.shapes)
    assert (facts.families[:1], facts.other) == ((sample.family,) if sample.family else (), sample.other)


@pytest.mark.parametrize(
    ("algo", "word"),
    [
        ("lora", "lora"),
        ("locon", "lora"),
        ("loha", "loha"),
        ("lokr", "lokr"),
        ("ia3", "ia3"),
        ("full", "full"),
    ],
)
def test_algorithm_and_rank_are_those_that_lycoris_was_asked_for(
    tmp_path: Path, algo: str, word: str
) -> None:
    state = by_lycoris(algo, "attn-mlp")
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, tmp_path / "a.safetensors")
    facts = facts_of(tmp_path / "a.safetensors")
    assert facts.algo == word
    down = [tensor for key, tensor in state.items() if key.endswith(("lora_down.weight", "hada_w1_b"))]
    if down:
        assert facts.rank == down[0].shape[0]
    assert facts.problem is None


def test_metadata_that_lies_or_is_absent_does_not_change_the_base_model(tmp_path: Path) -> None:
    """The WebUI's builtin takes whatever has metadata, and is not SD2 or SDXL, for SD1."""
    xl = {"lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k": (640, 2048)}
    shapes = {
        f"{stem}.{part}": dims for stem, shape in xl.items() for part, dims in lora_parts(shape).items()
    }
    for number, metadata in enumerate(({}, {"ss_v2": "False"}, {"ss_base_model_version": "sd_v1"})):
        path = sparse_file(tmp_path / f"{number}.safetensors", shapes, metadata)
        assert facts_of(path).families == ("sdxl",)


def test_what_nothing_tells_apart_is_said_to_be_either(tmp_path: Path) -> None:
    """Self-attention in the middle block is 1280 wide in SD1, SD2 and SDXL."""
    stem = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    shapes = {f"{stem}.{part}": dims for part, dims in lora_parts((1280, 1280)).items()}
    assert facts_of(sparse_file(tmp_path / "a.safetensors", shapes, {})).families == ("sd1", "sd2", "sdxl")


def test_remembered_layouts_do_not_mix_files_up(tmp_path: Path) -> None:
    """One memory for all samples, twice: the same answers as without memory."""
    layouts = Layouts()
    for _ in range(2):
        for number, sample in enumerate(SAMPLES):
            path = tmp_path / f"{number}.safetensors"
            if not path.exists():
                sparse_file(path, sample.shapes, sample.metadata)
            assert read_facts(path, layouts) == facts_of(path)


def test_known_layout_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts, sample = Layouts(), SAMPLES[0]
    first = read_facts(
        sparse_file(tmp_path / "a.safetensors", sample.shapes, {"ss_output_name": "a"}), layouts
    )
    monkeypatch.setattr(facts_module, "read_shapes", None)
    second = read_facts(
        sparse_file(tmp_path / "b.safetensors", sample.shapes, {"ss_output_name": "another"}), layouts
    )
    assert (first.alias, second.alias) == ("a", "another")
    assert first.rank == second.rank and first.families == second.families


def test_known_layout_hides_no_truncation(tmp_path: Path) -> None:
    layouts, sample = Layouts(), SAMPLES[0]
    path = sparse_file(tmp_path / "a.safetensors", sample.shapes, {})
    assert read_facts(path, layouts).problem is None
    os.truncate(path, path.stat().st_size - 100)
    assert "truncated" in str(read_facts(path, layouts).problem)


def test_stated_names_hashes_dates_and_covers_are_told(tmp_path: Path) -> None:
    cover = base64.b64encode(b"picture").decode()
    metadata = {
        "ss_output_name": "Anna \N{SPARKLES}",
        "sshs_model_hash": "0123456789abcdef" * 4,
        "sshs_legacy_hash": "89abcdef",
        "ss_training_started_at": "1700000000.25",
        "ssmd_cover_images": json.dumps([cover, "", cover]),
    }
    path = sparse_file(tmp_path / "a.safetensors", SAMPLES[0].shapes, metadata)
    facts = facts_of(path)
    assert (facts.alias, facts.hash, facts.legacy_hash) == tuple(metadata.values())[:3]
    assert facts.trained == 1700000000.25
    assert facts.covers == (0, 2)
    assert base64.b64decode(cover_texts(read_metadata(path))[2] or "") == b"picture"
    assert FileFacts.from_json(facts.to_json()) == facts


def test_embeddings_inside_are_named(tmp_path: Path) -> None:
    shapes = {
        **SAMPLES[0].shapes,
        "bundle_emb.a.b.string_to_param.*": (2, 768),
        "bundle_emb.c.emb": (1, 768),
    }
    facts = facts_of(sparse_file(tmp_path / "a.safetensors", shapes, {}))
    assert facts.embeddings == ("a.b", "c")
    alone = facts_of(sparse_file(tmp_path / "b.safetensors", {"bundle_emb.c.emb": (1, 768)}, {}))
    assert alone.embeddings == ("c",) and alone.problem is None


def test_embedding_among_the_networks_is_told_to_be_one(tmp_path: Path) -> None:
    facts = facts_of(sparse_file(tmp_path / "a.safetensors", {"emb_params": (4, 768)}, {}))
    assert facts.problem is not None and facts.problem.startswith("It is a textual-inversion embedding")
    assert "embeddings folder" in facts.problem


def test_content_tells_files_with_equal_headers_apart(tmp_path: Path) -> None:
    """A file without metadata may have another's header and size; its numbers differ."""
    for name, value in (("a", 1.0), ("b", 2.0)):
        save_file({"lora_unet_x.diff": torch.full((4, 4), value)}, tmp_path / f"{name}.safetensors")
        torch.save({"lora_unet_x.diff": torch.full((4, 4), value)}, tmp_path / f"{name}.pt")
    for suffix in ("safetensors", "pt"):
        shutil.copy(tmp_path / f"a.{suffix}", tmp_path / f"renamed.{suffix}")
        a, b, same = (facts_of(tmp_path / f"{name}.{suffix}").content for name in ("a", "b", "renamed"))
        assert a == same != b and a


def test_broken_files_say_what_is_wrong(tmp_path: Path) -> None:
    whole = sparse_file(tmp_path / "whole.safetensors", SAMPLES[0].shapes, {}).read_bytes()
    contents = {
        "empty": (b"", "empty"),
        "short": (b"\x05", "too short"),
        "cut": (whole[:-1], "truncated"),
        "half a header": (whole[:100], "shorter than its header"),
        "page": (b"<html>not found</html>" * 9, "larger than the format allows"),
        "deep": ((1 << 16).to_bytes(8, "little") + b'{"__metadata__":' + b"[" * (1 << 16), "not the JSON"),
        "checkpoint": (
            sparse_file(
                tmp_path / "x.safetensors", {"first_stage_model.decoder.conv_in.weight": (4, 4)}, {}
            )
        ).read_bytes(),
    }
    for name, content in contents.items():
        data, words = content if isinstance(content, tuple) else (content, "holds no network")
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(data)
        facts = facts_of(path)
        assert words in str(facts.problem), name
        assert facts.algo == "" and facts.families == ()
    assert "no such file" in str(facts_of(tmp_path / "absent.safetensors").problem)
    assert "folder" in str(facts_of(tmp_path).problem)


@pytest.mark.skipif(os.name == "nt", reason="no named pipes in folders on Windows")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert "pipe" in str(facts_of(tmp_path / "pipe.safetensors").problem)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_tells_what_the_same_tensors_tell_as_safetensors(tmp_path: Path, zipped: bool) -> None:
    state = {key: tensor.contiguous() for key, tensor in by_lycoris("loha", "attn-mlp").items()}
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    pickled, plain = (facts_of(tmp_path / f"a.{suffix}") for suffix in ("pt", "safetensors"))
    assert pickled.content and replace(pickled, content=plain.content) == plain
    assert (pickled.algo, pickled.problem) == ("loha", None)


class Evil:
    """Runs code when the standard library unpickles it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("/nowhere/ever",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_told_on_its_card_and_not_run(tmp_path: Path, zipped: bool) -> None:
    torch.save({"a": torch.zeros(2), "b": Evil()}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    assert "asks for code to be run" in str(facts_of(tmp_path / "a.pt").problem)


def test_pickles_of_one_layout_are_understood_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts = Layouts()
    for name, value in (("a", 1.0), ("b", 2.0)):
        torch.save({"lora_unet_x.diff": torch.full((4, 4), value)}, tmp_path / f"{name}.pt")
    first = read_facts(tmp_path / "a.pt", layouts)
    monkeypatch.setattr(layout_module, "read_shapes", None)
    second = read_facts(tmp_path / "b.pt", layouts)
    assert first.algo == second.algo == "full" and first.content != second.content


def test_a_giant_pickle_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"lora_unet_x.diff": torch.zeros(4, 4)}, tmp_path / "a.pt")
    monkeypatch.setattr(pickled_module, "MAX_PROGRAM_BYTES", 64)
    assert "larger than it can be" in str(facts_of(tmp_path / "a.pt").problem)
