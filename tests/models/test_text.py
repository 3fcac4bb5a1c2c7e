"""Conds against transformers' own text models and the published way from their states to the denoiser."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lib_lyco.errors import ModelError
from lib_lyco.models.base import PLAIN_TEXT, TextStyle
from lib_lyco.models.chunks import make_chunks
from lib_lyco.models.diffusers_model import DiffusersModel
from lib_lyco.models.tokenizer import clip_tokenizer

PROMPTS = ["a cat", "two dogs, one red ball"]


def transformers_output(model: DiffusersModel, component: Any, pad: int, prompts: list[str]) -> Any:
    encoder: Any = model.component(component)
    tokens = make_chunks(clip_tokenizer(pad), prompts, PLAIN_TEXT).tokens
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


def states_by_hand(model: DiffusersModel, component: Any, pad: int, chunks: list[str]) -> list[Tensor]:
    """The states (77, d) of each chunk from transformers' model: the last, or SDXL's last but one."""
    found: list[Tensor] = []
    for chunk in chunks:
        output = transformers_output(model, component, pad, [chunk])
        found.append(output.hidden_states[-2][0] if model.family == "sdxl" else output.last_hidden_state[0])
    return found


@pytest.mark.parametrize(("tokens", "vectors"), [(150, 152), (225, 227)])
@pytest.mark.parametrize(("family", "pad"), [("sd1", 49407), ("sd2", 0)])
def test_kohyas_long_captions_lose_the_marks_between_chunks(
    family: str, pad: int, tokens: int, vectors: int, models: dict[str, DiffusersModel]
) -> None:
    model = models[family]
    with torch.no_grad():
        found = model.encode_prompts(["cat " * 80], 1, TextStyle("kohya", max_tokens=tokens)).states
        first, second, *rest = states_by_hand(
            model, "te1", pad, ["cat " * 75, "cat " * 5] + [""] * (tokens // 75 - 2)
        )
    inner = [states[1:-1] for states in (first, second, *rest)]
    expected = torch.cat([first[:1], *inner, (rest[-1] if rest else second)[-1:]])
    assert found.shape[1] == vectors
    torch.testing.assert_close(found[0], expected, rtol=1e-5, atol=1e-5)


def test_webuis_long_captions_keep_all_states(models: dict[str, DiffusersModel]) -> None:
    model = models["sd1"]
    with torch.no_grad():
        found = model.encode_prompts(["cat " * 170, "dog"], 1, TextStyle(max_tokens=225)).states
        chunks = states_by_hand(model, "te1", 49407, ["cat " * 75] * 2 + ["cat " * 20])
        short = states_by_hand(model, "te1", 49407, ["dog", "", ""])
    assert found.shape[1] == 231
    torch.testing.assert_close(found[0], torch.cat(chunks), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1], torch.cat(short), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("way", ["webui", "kohya"])
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_weights_multiply_states_and_the_webui_restores_the_mean(
    family: str, way: Any, models: dict[str, DiffusersModel]
) -> None:
    model = models[family]
    pads = {"te1": 49407, "te2": 0} if family == "sdxl" else {"te1": 49407}
    expected: list[Tensor] = []
    with torch.no_grad():
        found = model.encode_prompts(["a (cat:1.5) [dog]"], 1, TextStyle(weights=way))
        plain = model.encode_prompts(["a cat dog"])
        for component, pad in pads.items():
            (states,) = states_by_hand(model, component, pad, ["a cat dog"])
            multiplied = states.clone()
            multiplied[2] *= 1.5
            multiplied[3] /= 1.1
            expected.append(multiplied * (states.mean() / multiplied.mean() if way == "webui" else 1.0))
    torch.testing.assert_close(found.states[0], torch.cat(expected, dim=-1), rtol=1e-4, atol=1e-5)
    if plain.pooled is not None and found.pooled is not None:
        torch.testing.assert_close(found.pooled, plain.pooled)


def test_sdxls_second_encoder_may_read_another_text(models: dict[str, DiffusersModel]) -> None:
    model, width = models["sdxl"], 64
    long = "dog " * 80
    with torch.no_grad():
        cat, dog, empty = (model.encode_prompts([text]) for text in ("a cat", long, ""))
        mixed = model.encode_prompts(["a cat"], second=[long])
        dropped = model.encode_prompts([long], second=[""])
    assert mixed.pooled is not None and dropped.pooled is not None
    torch.testing.assert_close(mixed.pooled, dog.pooled)
    torch.testing.assert_close(mixed.states[..., width:], dog.states[..., width:])
    torch.testing.assert_close(mixed.states[:, :77, :width], cat.states[..., :width])
    torch.testing.assert_close(mixed.states[:, 77:, :width], empty.states[..., :width])
    torch.testing.assert_close(dropped.pooled, empty.pooled)
    torch.testing.assert_close(dropped.states[..., :width], dog.states[..., :width])


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


def test_clip_skip_beyond_the_first_layer_is_told(models: dict[str, DiffusersModel]) -> None:
    model = models["sd1"]
    encoder: Any = model.component("te1")
    with pytest.raises(ModelError, match="not so many layers"):
        model.encode_prompts(PROMPTS, len(encoder.text_model.encoder.layers) + 1)
