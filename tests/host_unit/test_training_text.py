"""OpenCLIP's text model through views of its fused weights: what torch's own attention computes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_lyco.errors import ModelError
from lib_lyco.host.training_text import LinearView, OpenClipEncoder, with_views
from lib_lyco.models.target import Target
from lib_lyco.models.tokenizer import EOS, clip_tokenizer
from lib_lyco.naming.layer import LayerName

WIDTH, HEADS, LAYERS, POSITIONS = 16, 2, 3, 7


class Block(nn.Module):
    """OpenCLIP's residual block, with torch's attention as it has it."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn = nn.MultiheadAttention(WIDTH, HEADS)
        self.ls_1, self.ls_2 = nn.Identity(), nn.Identity()
        parts = {"c_fc": nn.Linear(WIDTH, 32), "gelu": nn.GELU(), "c_proj": nn.Linear(32, WIDTH)}
        self.mlp = nn.Sequential(OrderedDict(parts))
        nn.init.normal_(self.attn.in_proj_bias)

    def forward(self, x: Tensor) -> Tensor:
        """(n, b, d), as OpenCLIP does it."""
        y = self.ln_1(x)
        mask = nn.Transformer.generate_square_subsequent_mask(len(x))
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class Text(nn.Module):
    """The rest of it."""

    def __init__(self) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(EOS + 1, WIDTH)
        self.positional_embedding = nn.Parameter(torch.randn(POSITIONS, WIDTH))
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.ln_final = nn.LayerNorm(WIDTH)
        self.text_projection = nn.Parameter(torch.randn(WIDTH, WIDTH))

    def hidden(self, tokens: Tensor) -> list[Tensor]:
        """The states (b, n, d) before each block and after the last."""
        x = (self.token_embedding(tokens) + self.positional_embedding).permute(1, 0, 2)
        found = [x]
        for block in self.transformer.get_submodule("resblocks").children():
            found.append(block(found[-1]))
        return [states.permute(1, 0, 2) for states in found]


def targets_of(text: Text) -> dict[LayerName, tuple[Target, ...]]:
    found: dict[str, Target] = {}
    for index in range(LAYERS):
        attn = text.get_submodule(f"transformer.resblocks.{index}.attn")
        root = f"text_model.encoder.layers.{index}.self_attn"
        for place, name in enumerate(("q_proj", "k_proj", "v_proj")):
            path = f"{root}.{name}"
            rows = (place * WIDTH, (place + 1) * WIDTH)
            layer = LayerName("te2", path)
            found[path] = Target(layer, attn, "in_proj_weight", "in_proj_bias", rows)
        found[f"{root}.out_proj"] = Target(
            LayerName("te2", f"{root}.out_proj"), attn.get_submodule("out_proj")
        )
    layer = LayerName("te2", "text_projection")
    found["text_projection"] = Target(layer, text, "text_projection", transposed=True)
    return {target.layer: (target,) for target in found.values()}


@pytest.fixture
def text() -> Text:
    torch.manual_seed(0)
    return Text().requires_grad_(False)


@pytest.fixture
def encoder(text: Text) -> OpenClipEncoder:
    _, views = with_views(targets_of(text))
    return OpenClipEncoder(text, clip_tokenizer(0), views, "te2", unread=0)


TOKENS = torch.tensor([[49406, 320, 736, 7901, EOS, 0, 0], [49406, 518, EOS, 0, 0, 0, 0]])


@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("normed", [True, False])
def test_states_and_pooled_state_are_those_of_torchs_attention(
    text: Text, encoder: OpenClipEncoder, layer: int, normed: bool
) -> None:
    states, pooled = encoder.run(TOKENS, layer, normed)
    hidden = text.hidden(TOKENS)
    expected = text.ln_final(hidden[-layer]) if normed else hidden[-layer]
    torch.testing.assert_close(states, expected)
    ends = text.ln_final(hidden[-1])[torch.arange(2), torch.tensor([4, 2])]
    torch.testing.assert_close(pooled, ends @ text.text_projection)


def test_layers_that_do_not_count_are_not_run(text: Text, encoder: OpenClipEncoder) -> None:
    states, _ = replace(encoder, unread=1).run(TOKENS, 1, normed=True)
    torch.testing.assert_close(states, text.ln_final(text.hidden(TOKENS)[-2]))
    with pytest.raises(ModelError, match="clip skip 3"):
        replace(encoder, unread=1).run(TOKENS, 3, normed=True)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_what_hangs_on_a_layer_acts_on_it_and_learns(
    text: Text, encoder: OpenClipEncoder, checkpointing: bool
) -> None:
    layer = LayerName("te2", "text_model.encoder.layers.1.self_attn.k_proj")
    change = torch.randn(WIDTH, WIDTH, requires_grad=True)
    view = encoder.views[layer]
    view.register_forward_hook(lambda _, inputs, output: output + inputs[0] @ change.T)
    states, _ = replace(encoder, checkpointing=checkpointing).run(TOKENS, 1, normed=True)
    states.square().sum().backward()
    attn: Any = text.get_submodule("transformer.resblocks.1.attn")
    merged = attn.in_proj_weight.detach().clone()
    merged[WIDTH : 2 * WIDTH] += change.detach()
    attn.in_proj_weight = learned = nn.Parameter(merged)
    expected = text.ln_final(text.hidden(TOKENS)[-1])
    torch.testing.assert_close(states, expected)
    expected.square().sum().backward()
    assert learned.grad is not None
    torch.testing.assert_close(change.grad, learned.grad[WIDTH : 2 * WIDTH])


def test_a_view_is_the_same_memory_follows_it_and_lets_it_go(text: Text) -> None:
    attn: Any = text.get_submodule("transformer.resblocks.0.attn")
    layer = LayerName("te2", "text_model.encoder.layers.0.self_attn.v_proj")
    view: LinearView = with_views(targets_of(text))[1][layer]
    assert view.weight.data_ptr() == attn.in_proj_weight[2 * WIDTH :].data_ptr()
    assert [name for name, _ in view.named_children()] == []
    attn.in_proj_weight.data = attn.in_proj_weight.data + 1  # as when a model is moved
    view.follow()
    assert torch.equal(view.weight, attn.in_proj_weight[2 * WIDTH :])
    view.leave()
    assert view.weight.shape == (WIDTH, WIDTH) and view.weight.untyped_storage().nbytes() == 4
    assert view.bias.untyped_storage().nbytes() == 4
