"""A base model without weights has the layers of the loaded one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lib_lyco.demo.madeup import Known, write_checkpoint
from lib_lyco.models import checkpoint as checkpoint_module
from lib_lyco.models.checkpoint import open_checkpoint
from lib_lyco.models.diffusers_model import DiffusersModel
from lib_lyco.models.hollow import hollow_model
from lib_lyco.models.load import load_model
from lib_lyco.models.target import Target
from lib_lyco.naming.layer import LayerName


def weight_of(target: Target) -> Tensor:
    return getattr(target.module, target.weight)


def layers(model: DiffusersModel) -> dict[LayerName, tuple[str, torch.Size, torch.dtype]]:
    return {
        layer: (type(target.module).__name__, weight_of(target).shape, weight_of(target).dtype)
        for layer, (target,) in model.targets().items()
    }


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_layers_are_those_of_the_loaded_model_and_no_weight_is_read(
    tmp_path: Path, family: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_checkpoint(tmp_path / "model.safetensors", family, 32)
    loaded = load_model(path, dtype=torch.bfloat16)

    def refuse(*_: object) -> None:
        raise AssertionError("weights are read")

    monkeypatch.setattr(checkpoint_module, "read_tensors", refuse)
    hollow = hollow_model(open_checkpoint(path), torch.bfloat16)
    assert layers(hollow) == layers(loaded)
    assert (hollow.family, hollow.name) == (loaded.family, loaded.name)
    assert all(weight_of(target).is_meta for (target,) in hollow.targets().values())


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_shapes_pass_through_it(tmp_path: Path, family: Known) -> None:
    path = write_checkpoint(tmp_path / "model.safetensors", family, 32)
    hollow, loaded = hollow_model(open_checkpoint(path)), load_model(path)
    prompts = ["a cat", "a dog " * 60]
    cond, expected = hollow.encode_prompts(prompts), loaded.encode_prompts(prompts)
    assert cond.states.shape == expected.states.shape
    noisy = torch.empty(2, 4, 8, 16, device="meta")
    steps = torch.zeros(2, dtype=torch.long, device="meta")
    assert hollow.predict(noisy, steps, cond).shape == noisy.shape
