"""From a path to a network, and the errors on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lib_lyco.errors import FileError, NetworkFormatError, UnsafeFileError
from lib_lyco.files.tensors import read_content
from lib_lyco.network.load import load_network
from tests.files.test_tensors import Evil
from tests.network.samples import lora, small_network


def test_file_becomes_a_network_with_name_metadata_and_identity(tmp_path: Path) -> None:
    path = tmp_path / "my.style v1.safetensors"
    save_file(small_network(), path, metadata={"ss_output_name": "style"})
    network = load_network(path)
    assert (network.name, network.family, len(network.adapters)) == ("my.style v1", "sd1", 3)
    assert network.metadata == {"ss_output_name": "style"}
    assert network.content_id == read_content(path).content_id


def test_pickled_network_equals_the_safetensors_one(tmp_path: Path) -> None:
    torch.save(small_network(), tmp_path / "a.pt")
    save_file(small_network(), tmp_path / "a.safetensors")
    pickled, plain = load_network(tmp_path / "a.pt"), load_network(tmp_path / "a.safetensors")
    assert pickled.adapters.keys() == plain.adapters.keys()
    for layer, adapter in plain.adapters.items():
        for part, tensor in adapter.tensors().items():
            assert torch.equal(pickled.adapters[layer].tensors()[part], tensor)


def test_embedding_alone_is_a_network(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"bundle_emb.word.string_to_param.*": torch.ones(1, 768)}, path)
    assert list(load_network(path).embeddings) == ["word"]


def test_embedding_in_the_wrong_folder_is_called_one(tmp_path: Path) -> None:
    """The keys are those that the WebUI's textual_inversion.py and diffusers' pipelines write and read."""
    files: dict[str, dict[str, Any]] = {
        "trained.pt": {"string_to_token": {"*": 265}, "string_to_param": {"*": torch.ones(2, 768)}},
        "sd1.safetensors": {"emb_params": torch.ones(4, 768)},
        "xl.safetensors": {"clip_l": torch.ones(4, 768), "clip_g": torch.ones(4, 1280)},
        "learned_embeds.safetensors": {"<cat>": torch.ones(768)},
    }
    for name, content in files.items():
        path = tmp_path / name
        torch.save(content, path) if path.suffix == ".pt" else save_file(content, path)
        with pytest.raises(NetworkFormatError, match="textual-inversion embedding, no network") as caught:
            load_network(path)
        assert "embeddings folder" in caught.value.remedy and caught.value.where == str(path)


def test_one_unknown_layer_is_no_embedding(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"layer.of.nobody": torch.ones(1, 768)}, path)
    with pytest.raises(NetworkFormatError, match="Nothing in the file"):
        load_network(path)


def test_file_for_another_model_says_for_which(tmp_path: Path) -> None:
    path = tmp_path / "flux.safetensors"
    save_file(lora("lora_unet_double_blocks_0_img_attn_qkv", 9, 9), path)
    with pytest.raises(NetworkFormatError, match="Flux"):
        load_network(path)


def test_base_model_is_not_taken_for_a_network(tmp_path: Path) -> None:
    path = tmp_path / "base.safetensors"
    save_file({"first_stage_model.decoder.conv_in.bias": torch.zeros(4)}, path)
    with pytest.raises(NetworkFormatError) as caught:
        load_network(path)
    assert str(path) in caught.value.where and "1 tensors" in caught.value.got


def test_bad_files_raise_our_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(small_network(), path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileError, match="truncated"):
        load_network(path)
    torch.save({"a": Evil()}, path)
    with pytest.raises(UnsafeFileError):
        load_network(path)
    with pytest.raises(FileError):
        load_network(tmp_path)
