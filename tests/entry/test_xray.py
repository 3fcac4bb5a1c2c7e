"""`lyco xray`: text, JSON, a drawing, with and without a base model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lib_lyco.demo.embedded import checkpoint
from lib_lyco.entry.cli import main
from lib_lyco.files.header import read_header
from lib_lyco.files.save import save_tensors

PLACE = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight"
STEM = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """A network for the embedded model, and its opposite."""
    rows, columns = read_header(checkpoint()).tensors[PLACE].shape
    up, down = torch.randn(rows, 2), torch.randn(2, columns)
    found: list[str] = []
    for name, sign in (("cat", 1.0), ("anticat", -1.0)):
        path = tmp_path / f"{name}.safetensors"
        tensors = {f"{STEM}.lora_up.weight": sign * up, f"{STEM}.lora_down.weight": down}
        save_tensors(path, tensors, {"ss_base_model_version": "sd_v1"})
        found.append(str(path))
    return found


def test_strengths_stand_in_relation_to_the_model(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawing = tmp_path / "xray.svg"
    assert main(["xray", *files, "--model", str(checkpoint()), "--svg", str(drawing)]) == 0
    out = capsys.readouterr().out
    assert "cat: IN04 " in out and "%" in out
    assert "cat and anticat fight in IN04 (cosine down to -1.00)." in out
    assert drawing.read_text(encoding="utf-8").startswith("<svg")


def test_without_a_model_the_published_sizes_count(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["xray", files[0], "--json"]) == 0
    (network,) = json.loads(capsys.readouterr().out)["networks"]
    assert network["name"] == "cat" and "the weight is 640x640" in network["homeless"][0]["reason"]


def test_networks_for_different_models_ask_for_one(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "xl.safetensors"
    stem = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
    save_tensors(
        other,
        {f"{stem}.lora_up.weight": torch.ones(640, 2), f"{stem}.lora_down.weight": torch.ones(2, 640)},
        {},
    )
    assert main(["xray", files[0], str(other)]) == 2
    assert "--model" in capsys.readouterr().err
