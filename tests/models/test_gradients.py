"""Gradient checkpointing: less memory, the same numbers, and gradients for layers of every component."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lib_lyco.models.diffusers_model import DiffusersModel
from lib_lyco.models.load import load_model


def gradients(model: DiffusersModel) -> list[Tensor]:
    """Of the first and last target of each component, and nothing else's."""
    weights: list[Tensor] = []
    for component in ("unet", "te1", "te2"):
        module = model.component(component)
        if module is not None:
            of_attention = [p for name, p in module.named_parameters() if name.endswith("q.weight")]
            of_text = [p for name, p in module.named_parameters() if name.endswith("q_proj.weight")]
            chosen = of_attention or of_text
            # SDXL reads the last but one layer of a text encoder
            weights += [chosen[0], chosen[-2]]
    for weight in weights:
        weight.requires_grad_(True)
    noisy = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    cond = model.encode_prompts(["a cat"])
    model.predict(noisy, torch.tensor([500]), cond).square().mean().backward()
    found: list[Tensor] = []
    for weight in weights:
        assert weight.grad is not None
        found.append(weight.grad.clone())
        weight.grad = None
        weight.requires_grad_(False)
    return found


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_checkpointing_changes_no_gradient(family: str, model_files: dict[str, Path]) -> None:
    model = load_model(model_files[family])
    plain = gradients(model)
    model.set_gradient_checkpointing(True)
    calls = 0
    attention = model.component("te1")
    assert attention is not None

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    handle = attention.get_submodule("text_model.encoder.layers.0.mlp.fc1").register_forward_pre_hook(count)
    checkpointed = gradients(model)
    handle.remove()
    assert calls == 2, "a checkpointed layer runs again on the way back"
    for before, after in zip(plain, checkpointed, strict=True):
        torch.testing.assert_close(before, after)
        assert float(before.abs().max()) > 0
    model.set_gradient_checkpointing(False)
    for before, after in zip(plain, gradients(model), strict=True):
        assert torch.equal(before, after)


def test_nothing_is_trained_unasked(models: dict[str, DiffusersModel]) -> None:
    for model in models.values():
        for (target,) in model.targets().values():
            assert not any(p.requires_grad for p in target.module.parameters(recurse=False))
            assert not target.module.training
