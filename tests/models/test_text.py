"""Conds against transformers' own text models and the published way from their states to the denoiser."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lib_lyco.models.diffusers_model import DiffusersModel
from lib_lyco.models.tokenizer import clip_tokenizer

PROMPTS = ["a cat", "two dogs, one red ball"]


def transformers_output(model: DiffusersModel, component: Any, pad: int, prompts: list[str]) -> Any:
    encoder: Any = model.component(component)
    tokens = clip_tokenizer(pad).chunks(prompts)
    assert tokens.shape[1] == 1
    return encoder(input_ids=tokens[:, 0], output_hidden_states=True)


@pytest.mark.parametrize(("family", "pad"), [("sd1", 49407), ("sd2", 0)])
def test_last_layer_is_what_transformers_calls_the_last_state(
    family: str, pad: int, models: dict[str, DiffusersModel]
) -> None:
    model = models[family]
    with torch.no_grad():
        expected = transformers_output(model, "te1", pad, PROMPTS).last_hidden_state
        assert torch.equal(model.encode_prompts(PROMPTS).states, expected)


@pytest.mark.parametrize("clip_skip", [2, 3])
def test_clip_skip_leaves_the_last_layers_out_and_norms_the_rest(
    clip_skip: int, models: dict[str, DiffusersModel]
) -> None:
    """The same as a text model that has fewer layers."""
    model = models["sd1"]
    encoder: Any = model.component("te1")
    layers = encoder.text_model.encoder.layers
    with torch.no_grad():
        found = model.encode_prompts(PROMPTS, clip_skip).states
        encoder.text_model.encoder.layers = layers[: len(layers) - clip_skip + 1]
        try:
            expected = model.encode_prompts(PROMPTS).states
        finally:
            encoder.text_model.encoder.layers = layers
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found, model.encode_prompts(PROMPTS).states, atol=1e-2)


def test_sdxl_joins_both_last_but_one_layers_and_pools_the_second(
    models: dict[str, DiffusersModel],
) -> None:
    model = models["sdxl"]
    with torch.no_grad():
        first = transformers_output(model, "te1", 49407, PROMPTS)
        second = transformers_output(model, "te2", 0, PROMPTS)
        cond = model.encode_prompts(PROMPTS)
    assert torch.equal(cond.states, torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1))
    assert cond.pooled is not None
    assert torch.equal(cond.pooled, second.text_embeds)
    assert cond.states.shape == (2, 77, 64 + 128)


def test_sdxl_pools_the_first_chunk_at_its_end_mark(models: dict[str, DiffusersModel]) -> None:
    model = models["sdxl"]
    long = "cat " * 100
    with torch.no_grad():
        cond = model.encode_prompts([long])
        first_chunk = model.encode_prompts(["cat " * 75])
        alone: Tensor = transformers_output(model, "te2", 0, ["cat " * 75]).text_embeds
    assert cond.states.shape == (1, 154, 192)
    assert cond.pooled is not None
    torch.testing.assert_close(cond.pooled, alone)
    torch.testing.assert_close(cond.states[:, :77], first_chunk.states)


def test_gradients_reach_the_text_encoder(models: dict[str, DiffusersModel]) -> None:
    model = models["sd1"]
    encoder = model.component("te1")
    assert encoder is not None
    weight = encoder.get_parameter("text_model.encoder.layers.0.self_attn.q_proj.weight")
    weight.requires_grad_(True)
    try:
        model.encode_prompts(PROMPTS).states.square().sum().backward()
        assert weight.grad is not None and float(weight.grad.abs().max()) > 0
    finally:
        weight.requires_grad_(False)
        weight.grad = None
