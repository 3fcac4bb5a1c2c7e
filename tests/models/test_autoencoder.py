"""An autoencoder from a file of its own, against the one diffusers loads from the same tensors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor

from lib_lyco.errors import ModelError
from lib_lyco.models.autoencoder import read_autoencoder
from lib_lyco.models.load import load_model

ROOT = "first_stage_model."


@pytest.fixture(scope="module")
def other(model_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model with another autoencoder than that of `model_files`."""
    place = tmp_path_factory.mktemp("other") / "other.safetensors"
    tensors = load_file(model_files["sd1"])
    generator = torch.Generator().manual_seed(5)
    for key, tensor in tensors.items():
        if key.startswith(ROOT):
            tensors[key] = tensor + 0.02 * torch.randn(tensor.shape, generator=generator)
    save_file(tensors, place)
    shutil.copy(model_files["sd1"].with_suffix(".yaml"), place.with_suffix(".yaml"))
    return place


@pytest.fixture(scope="module")
def alone(other: Path) -> dict[str, Tensor]:
    """Its autoencoder's tensors, as VAE files name them."""
    return {
        key.removeprefix(ROOT): value for key, value in load_file(other).items() if key.startswith(ROOT)
    }


@pytest.mark.parametrize("kind", ["safetensors", "pt", "whole"])
def test_other_autoencoder_answers_as_the_one_diffusers_loads(
    kind: str, other: Path, alone: dict[str, Tensor], model_files: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / f"other.vae.{kind}"
    if kind == "safetensors":
        save_file(alone, path)
    elif kind == "pt":
        torch.save({"state_dict": {**alone, "loss.logvar": torch.zeros(())}}, path)
    else:
        path = other
    oracle: Any = AutoencoderKL.from_single_file(
        str(other), original_config=str(other.with_suffix(".yaml")), torch_dtype=torch.float32
    )
    images = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    model = load_model(model_files["sd1"], vae=path)
    with torch.no_grad():
        latents = model.encode_images(images)
        assert torch.equal(latents, oracle.encode(images).latent_dist.mode() * 0.18215)
        assert torch.equal(model.decode_latents(latents), oracle.decode(latents / 0.18215).sample)
        assert not torch.allclose(latents, load_model(model_files["sd1"]).encode_images(images), atol=1e-3)


def test_half_precision_file_becomes_full(alone: dict[str, Tensor], tmp_path: Path) -> None:
    save_file({key: value.half() for key, value in alone.items()}, tmp_path / "half.safetensors")
    weights = read_autoencoder(tmp_path / "half.safetensors", 4).weights
    assert {value.dtype for value in weights.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("nothing", "no tensor"),
        ("missing", "missing: .*decoder.conv_out.bias"),
        ("more", "unexpected: .*decoder.more"),
        ("channels", "latents of 4 channels"),
    ],
)
def test_what_is_no_fitting_autoencoder_is_told(
    change: str, told: str, alone: dict[str, Tensor], tmp_path: Path
) -> None:
    tensors, path = dict(alone), tmp_path / "vae.safetensors"
    if change == "nothing":
        tensors = {"lora_unet_x.lora_up.weight": torch.zeros(4, 4)}
    elif change == "missing":
        del tensors["decoder.conv_out.bias"]
    elif change == "more":
        tensors["decoder.more"] = torch.zeros(1)
    save_file(tensors, path)
    with pytest.raises(ModelError, match=told):
        read_autoencoder(path, 16 if change == "channels" else 4)
