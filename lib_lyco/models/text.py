"""Prompts into conds: chunks of 75 tokens, clip skip, SDXL's two encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import CLIPTextModelWithProjection

from lib_lyco.models.base import Cond
from lib_lyco.models.tokenizer import ClipTokenizer


@dataclass(frozen=True)
class TextEncoder:
    """One text encoder with the tokenizer that belongs to it."""

    module: CLIPTextModelWithProjection
    tokenizer: ClipTokenizer

    def hidden(self, prompts: Sequence[str], layer: int) -> tuple[Tensor, Tensor]:
        """The states (b, 77 n, d) that leave transformer layer `layer` from the end (1 is the last),
        without the final norm, and the projected state at the first chunk's EOS, (b, p).

        Each of the n chunks of 77 is encoded alone and the states are joined, as the WebUI does.
        """
        tokens = self.tokenizer.chunks(prompts).to(self.module.device)
        b, n, positions = tokens.shape
        output = self.module(input_ids=tokens.reshape(b * n, positions), output_hidden_states=True)
        states = output.hidden_states[-layer]
        pooled = output.text_embeds.reshape(b, n, -1)[:, 0]
        return states.reshape(b, n * positions, -1), pooled

    def normed(self, prompts: Sequence[str], clip_skip: int) -> Tensor:
        """The states (b, 77 n, d) of layer `clip_skip` from the end, after the final norm."""
        return self.module.text_model.final_layer_norm(self.hidden(prompts, clip_skip)[0])


def encode_single(encoder: TextEncoder, prompts: Sequence[str], clip_skip: int) -> Cond:
    """SD1 and SD2: one encoder; `clip_skip` 1 is its last layer (SD2: OpenCLIP's last but one)."""
    return Cond(encoder.normed(prompts, clip_skip))


def encode_pair(first: TextEncoder, second: TextEncoder, prompts: Sequence[str]) -> Cond:
    """SDXL: the last but one layer of both encoders side by side, without norm, and the second's
    pooled state.

    There is no clip skip: the WebUI and sd-scripts leave SDXL at these layers too.
    """
    states_1, _ = first.hidden(prompts, 2)
    states_2, pooled = second.hidden(prompts, 2)
    return Cond(torch.cat([states_1, states_2], dim=-1), pooled)


def set_text_checkpointing(encoder: nn.Module, enabled: bool) -> None:
    """Switches non-reentrant checkpointing, under the name that this transformers has for it."""
    new = hasattr(encoder, "activation_checkpointing_enable")
    name = f"{'activation' if new else 'gradient'}_checkpointing_{'enable' if enabled else 'disable'}"
    getattr(encoder, name)(*([{"use_reentrant": False}] if enabled else []))
