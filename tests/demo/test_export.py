"""The files of an export are what a WebUI and transformers read."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from lib_lyco.demo import embedded
from lib_lyco.demo.drawing import WORDS
from lib_lyco.demo.export import export, text_config
from lib_lyco.demo.pretrain.denoiser import Denoiser
from lib_lyco.demo.vocabulary import vocabulary
from lib_lyco.models.base import PLAIN_TEXT
from lib_lyco.models.chunks import make_chunks
from lib_lyco.models.tokenizer import clip_tokenizer


@pytest.fixture()
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    checkpoint = tmp_path / "source.safetensors"
    checkpoint.write_bytes(b"weights")
    monkeypatch.setattr(embedded, "checkpoint", lambda: checkpoint)
    return export(tmp_path / "models" / "Stable-diffusion")


def params(exported: list[Path]) -> dict[str, Any]:
    content = yaml.safe_load(exported[1].read_text(encoding="utf-8"))
    return content["model"]["params"]


def test_configuration_has_the_checkpoints_stem(exported: list[Path]) -> None:
    assert all(path.is_file() for path in exported)
    assert exported[0].read_bytes() == b"weights"
    assert exported[1] == exported[0].with_suffix(".yaml")


def test_configuration_says_v_and_names_the_text_encoder(exported: list[Path]) -> None:
    said = params(exported)
    assert said["parameterization"] == "v"
    assert said["scale_factor"] == 0.18215
    folder = Path(said["cond_stage_config"]["params"]["version"])
    assert folder.is_absolute()
    assert folder == exported[2].parent


def test_configuration_has_the_trained_widths(exported: list[Path]) -> None:
    unet = params(exported)["unet_config"]["params"]
    config: Any = Denoiser().unet.config
    width = unet["model_channels"]
    assert tuple(width * m for m in unet["channel_mult"]) == tuple(config.block_out_channels)
    assert unet["context_dim"] == config.cross_attention_dim
    assert unet["num_heads"] == config.attention_head_dim
    assert unet["num_res_blocks"] == config.layers_per_block


def test_text_encoder_is_built_from_its_configuration(exported: list[Path]) -> None:
    built = CLIPTextModel(CLIPTextConfig.from_pretrained(exported[2].parent))
    trained = Denoiser().text
    shapes = {name: value.shape for name, value in built.state_dict().items()}
    assert shapes == {name: value.shape for name, value in trained.state_dict().items()}
    config: Any = trained.config
    for name in ("num_attention_heads", "hidden_act", "layer_norm_eps", "eos_token_id"):
        assert text_config()[name] == getattr(config, name)


@pytest.mark.parametrize("text", [" ".join(WORDS), "A Café, naïve: 12 cats' photo!", ""])
def test_tokenizer_agrees_with_ours(exported: list[Path], text: str) -> None:
    theirs: Any = CLIPTokenizer.from_pretrained(exported[2].parent)
    expected = make_chunks(clip_tokenizer(), [text], PLAIN_TEXT).tokens[0, 0]
    got = torch.tensor(theirs(text, padding="max_length", max_length=77, truncation=True)["input_ids"])
    assert torch.equal(got, expected)


def test_vocabulary_file_holds_the_vocabulary(exported: list[Path]) -> None:
    told = json.loads((exported[2].parent / "vocab.json").read_text(encoding="utf-8"))
    assert told == vocabulary()
    assert sorted(told.values()) == list(range(49_408))
    assert told["a</w>"] == 320
