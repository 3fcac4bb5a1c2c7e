"""The host's text encoders as training reads them: not through the host's own cond code.

What OpenCLIP keeps in one parameter (q, k and v in `in_proj_weight`) or the other way round
(`text_projection`) is trained on Linear layers whose weights are views of it: the same memory. The
passes below go through these, so that what hangs on a layer acts on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from lib_lyco.models.target import Target, Targets
from lib_lyco.models.text import demand_layer
from lib_lyco.models.tokenizer import ClipTokenizer
from lib_lyco.naming.layer import Component, LayerName


class LinearView(nn.Linear):
    """A Linear layer whose weight and bias are views of what the host's model holds otherwise."""

    def __init__(self, target: Target) -> None:
        nn.Module.__init__(self)
        self._target = (target,)  # in a tuple, so that the host's module is no child
        weight, bias = _views(target)
        self.out_features, self.in_features = weight.shape
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_parameter("bias", None if bias is None else nn.Parameter(bias, requires_grad=False))
        self.training = False

    def follow(self) -> None:
        """Views what the host's model holds now: it may have been moved."""
        self._view(*_views(self._target[0]))

    def leave(self) -> None:
        """Views nothing, so that the host can free the memory."""
        weight, bias = _views(self._target[0])
        self._view(_hollow(weight), None if bias is None else _hollow(bias))

    def _view(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight.data = weight
        if bias is not None:
            self.bias.data = bias


def _hollow(like: Tensor) -> Tensor:
    """A tensor of the same shape that takes no memory."""
    return like.new_empty(1, device="cpu").expand(like.shape)


def _views(target: Target) -> tuple[Tensor, Tensor | None]:
    """The layer's weight (o, i) and bias (o,) as views."""
    weight = target.module.get_parameter(target.weight).data
    bias = getattr(target.module, target.bias, None)
    rows = slice(None) if target.rows is None else slice(*target.rows)
    return (weight.T if target.transposed else weight)[rows], None if bias is None else bias.data[rows]


def with_views(targets: Targets) -> tuple[dict[LayerName, tuple[Target, ...]], dict[LayerName, LinearView]]:
    """The targets with each layer in a module of its own, and the modules that were made for it.

    Those are made for rows of a parameter, for a transposed one, and for OpenCLIP's `out_proj`, which
    its attention never calls.
    """
    found: dict[LayerName, tuple[Target, ...]] = {}
    views: dict[LayerName, LinearView] = {}
    for layer, places in targets.items():
        target = places[0]
        fused = target.rows is not None or target.transposed
        if fused or type(target.module).__name__ == "NonDynamicallyQuantizableLinear":
            views[layer] = LinearView(target)
            found[layer] = (Target(layer, views[layer]),)
        else:
            found[layer] = places
    return found, views


@dataclass
class OpenClipEncoder:
    """An `Encoder` on OpenCLIP's text model, as the host has it."""

    module: Any
    """open_clip's `CLIP` without its visual half."""
    tokenizer: ClipTokenizer
    views: Mapping[LayerName, LinearView]
    component: Component
    unread: int
    """How many of its last layers do not count: SD2's last one was never trained with."""
    checkpointing: bool = False

    def run(self, tokens: Tensor, layer: int, normed: bool) -> tuple[Tensor, Tensor]:
        """As `Encoder.run`. Where layers do not count, there is nothing to be pooled: zeros."""
        model = self.module
        tokens = tokens.to(model.positional_embedding.device)
        states = model.token_embedding(tokens) + model.positional_embedding
        num_layers = len(model.transformer.resblocks) - self.unread
        demand_layer(layer, num_layers)
        kept = states
        for index in range(num_layers if not self.unread else num_layers - layer + 1):
            states = self._resblock(index, states)
            if index == num_layers - layer:
                kept = states
        pooled = states.new_zeros(len(states), 1) if self.unread else self._pooled(states, tokens)
        return (model.ln_final(kept) if normed else kept), pooled

    def _pooled(self, states: Tensor, tokens: Tensor) -> Tensor:
        # EOS has the highest number, and padding comes after the first
        ends = tokens.argmax(dim=-1)
        rows = torch.arange(len(states), device=states.device)
        last = self.module.ln_final(states)[rows, ends]
        return self.views[LayerName(self.component, "text_projection")](last)

    def _resblock(self, index: int, states: Tensor) -> Tensor:
        if self.checkpointing:
            return checkpoint(self._block, index, states, use_reentrant=False, preserve_rng_state=False)
        return self._block(index, states)

    def _block(self, index: int, states: Tensor) -> Tensor:
        """Pre-norm attention and MLP (open_clip's `ResidualAttentionBlock`), on (m, 77, d)."""
        block = self.module.transformer.resblocks[index]
        states = states + block.ls_1(self._attention(index, block.attn.num_heads, block.ln_1(states)))
        return states + block.ls_2(block.mlp(block.ln_2(states)))

    def _attention(self, index: int, num_heads: int, states: Tensor) -> Tensor:
        root = f"text_model.encoder.layers.{index}.self_attn"
        q, k, v, out = (
            self.views[LayerName(self.component, f"{root}.{name}")]
            for name in ("q_proj", "k_proj", "v_proj", "out_proj")
        )
        return out(attention(q(states), k(states), v(states), num_heads, causal=True))


def attention(q: Tensor, k: Tensor, v: Tensor, num_heads: int, causal: bool = False) -> Tensor:
    """Attention of several heads, by torch's fastest kernel for the device: q is (b, n, d), k and v
    (b, m, d)."""
    q, k, v = (x.unflatten(-1, (num_heads, -1)).transpose(1, 2) for x in (q, k, v))
    out = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return out.transpose(1, 2).flatten(2)
