"""`lyco inspect`: text, JSON, values on demand, files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lib_lyco.entry.cli import main
from lib_lyco.files.save import save_tensors

STEM = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"


@pytest.fixture
def network(tmp_path: Path) -> Path:
    up = torch.ones(320, 4)
    up[0, 0] = float("nan")
    tensors = {
        f"{STEM}.lora_up.weight": up,
        f"{STEM}.lora_down.weight": torch.ones(4, 320),
        f"{STEM}.alpha": torch.tensor(2.0),
        "nonsense": torch.ones(1),
    }
    path = tmp_path / "cat.safetensors"
    save_tensors(path, tensors, {"ss_output_name": "cat"})
    return path


def test_text_tells_algorithm_rank_and_what_is_unknown(
    network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(network)]) == 0
    out = capsys.readouterr().out
    assert "lora x1" in out and "4 x1" in out and "1 unknown keys" in out and "NaN" not in out


def test_values_are_looked_at_on_demand(network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--deep", str(network)]) == 0
    assert "1 of 1280 values" in capsys.readouterr().out


def test_json_is_json(network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--json", str(network)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["algos"], told["ranks"], told["not_finite"]) == ({"lora": 1}, {"4": 1}, None)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 64])
def test_what_is_no_network_file_is_one_short_error(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cat.safetensors"
    path.write_bytes(content)
    assert main(["inspect", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "cat.safetensors" in err and "Traceback" not in err


def test_missing_file_is_one_short_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path / "no.safetensors")]) == 2
    assert "no.safetensors" in capsys.readouterr().err
