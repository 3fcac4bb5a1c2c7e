"""Prompts into conds: chunks of 75 tokens, clip skip, weights, SDXL's two encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from lib_lyco.errors import ModelError
from lib_lyco.models.base import Cond, TextStyle
from lib_lyco.models.chunks import make_chunks
from lib_lyco.models.tokenizer import ClipTokenizer


class Encoder(Protocol):
    """One text encoder with the tokenizer that belongs to it."""

    @property
    def tokenizer(self) -> ClipTokenizer: ...

    def run(self, tokens: Tensor, layer: int, normed: bool) -> tuple[Tensor, Tensor]:
        """The states of chunks, each encoded alone.

        Args:
            tokens: (m, 77) int64, on any device.
            layer: Which transformer layer's states, from the end (1 is the last).
            normed: Whether the states pass the final norm.

        Returns:
            The states (m, 77, d), and what is at EOS after the last layer, normed and projected where
            there is a projection, (m, p).

        Raises:
            ModelError: There is no such layer.
        """
        ...


@dataclass(frozen=True)
class TextEncoder:
    """An `Encoder` of transformers."""

    module: CLIPTextModelWithProjection | CLIPTextModel
    tokenizer: ClipTokenizer

    def run(self, tokens: Tensor, layer: int, normed: bool) -> tuple[Tensor, Tensor]:
        """As `Encoder.run`."""
        output = self.module(input_ids=tokens.to(self.module.device), output_hidden_states=True)
        demand_layer(layer, len(output.hidden_states) - 1)
        states = output.hidden_states[-layer]
        if normed:
            text_model: Any = self.module.text_model
            states = text_model.final_layer_norm(states)
        projected = getattr(output, "text_embeds", None)
        return states, output.pooler_output if projected is None else projected


def demand_layer(layer: int, count: int) -> None:
    """Refuses a layer, counted from the end, that a text encoder of so many layers lacks."""
    if layer > count:
        raise ModelError(
            "The text encoder has not so many layers",
            got=f"clip skip {layer}",
            expected=f"from 1 to {count}",
        )


def encode(
    encoder: Encoder, prompts: Sequence[str], layer: int, style: TextStyle, normed: bool
) -> tuple[Tensor, Tensor]:
    """States and pooled state of b prompts in n chunks, each encoded alone.

    Args:
        encoder: Encodes.
        prompts: The texts.
        layer: Which transformer layer's states, from the end (1 is the last).
        style: How texts become chunks, what brackets mean, and how chunks are joined.
        normed: Whether the states pass the final norm.

    Returns:
        The states (b, 77 n, d), or (b, 75 n + 2, d) in kohya's way, and the projected state at the
        first chunk's EOS, (b, p), which no weight touches.

    Raises:
        ModelError: There is no such layer.
    """
    chunks = make_chunks(encoder.tokenizer, prompts, style)
    b, n, positions = chunks.tokens.shape
    states, pooled = encoder.run(chunks.tokens.reshape(b * n, positions), layer, normed)
    states = states.reshape(b, n, positions, -1)
    if chunks.weights is not None:
        states = weighted(states, chunks.weights, restore_mean=style.weights == "webui")
    return joined(states, style), pooled.reshape(b, n, -1)[:, 0]


def weighted(states: Tensor, weights: Tensor, restore_mean: bool) -> Tensor:
    """States (b, n, 77, d) times weights (b, n, 77).

    With `restore_mean` each chunk is then scaled to the mean over all its values that it had before,
    which is the WebUI's emphasis `Original`; without, sd-scripts' way and the WebUI's `No norm`.
    """
    multiplied = states * weights.to(states)[..., None]
    if not restore_mean:
        return multiplied
    means = states.mean(dim=(2, 3), keepdim=True), multiplied.mean(dim=(2, 3), keepdim=True)
    return multiplied * (means[0] / means[1])


def joined(states: Tensor, style: TextStyle) -> Tensor:
    """The chunks' states (b, n, 77, d) in a row: all of them, or in kohya's way without the first and last
    of each chunk, but for the very first and the very last."""
    if style.chunks == "webui":
        return states.flatten(1, 2)
    inner = states[:, :, 1:-1].flatten(1, 2)
    return torch.cat([states[:, 0, :1], inner, states[:, -1, -1:]], dim=1)


def encode_single(encoder: Encoder, prompts: Sequence[str], clip_skip: int, style: TextStyle) -> Cond:
    """SD1 and SD2: one encoder, normed; `clip_skip` 1 is its last layer (SD2: OpenCLIP's last but one)."""
    return Cond(encode(encoder, prompts, clip_skip, style, normed=True)[0])


def encode_pair(
    encoders: tuple[Encoder, Encoder],
    prompts: tuple[Sequence[str], Sequence[str]],
    style: TextStyle,
) -> Cond:
    """SDXL: the last but one layer of both encoders side by side, without norm, and the second's
    pooled state.

    There is no clip skip: the WebUI and sd-scripts leave SDXL at these layers too.
    """
    (first, _), (second, pooled) = (
        encode(encoder, texts, 2, style, normed=False)
        for encoder, texts in zip(encoders, prompts, strict=True)
    )
    length = max(first.shape[1], second.shape[1])
    if first.shape[1] != second.shape[1]:  # the encoders read different texts, one of more chunks
        first, second = (
            _lengthened(states, encoder, style, length)
            for states, encoder in zip((first, second), encoders, strict=True)
        )
    return Cond(torch.cat([first, second], dim=-1), pooled)


def _lengthened(states: Tensor, encoder: Encoder, style: TextStyle, length: int) -> Tensor:
    """States (b, n, d) with the states of empty chunks after them, (b, length, d)."""
    empty, _ = encode(encoder, [""], 2, style, normed=False)
    missing = (length - states.shape[1]) // empty.shape[1]
    return torch.cat([states, empty.repeat(len(states), missing, 1)], dim=1)


def set_text_checkpointing(encoder: nn.Module, enabled: bool) -> None:
    """Switches checkpointing of each layer; transformers' own loses gradients before its version 4.35."""
    lists = (module for name, module in encoder.named_modules() if name.endswith("encoder.layers"))
    layers: Any = next(lists)
    for layer in layers:
        vars(layer).pop("forward", None)
        if enabled:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
