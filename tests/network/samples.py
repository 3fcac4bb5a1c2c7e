"""A small kohya file: three layers, made by hand."""

from __future__ import annotations

import torch
from torch import Tensor

Q = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
CONV = "lora_unet_mid_block_resnets_0_conv1"
TEXT = "lora_te_text_model_encoder_layers_3_mlp_fc1"


def lora(stem: str, out: int, into: int, rank: int = 2, *, seed: int = 0) -> dict[str, Tensor]:
    """kohya's three tensors of a linear layer."""
    generator = torch.Generator().manual_seed(seed)
    return {
        f"{stem}.lora_down.weight": torch.randn(rank, into, generator=generator),
        f"{stem}.lora_up.weight": torch.randn(out, rank, generator=generator),
        f"{stem}.alpha": torch.tensor(float(rank)),
    }


def small_network() -> dict[str, Tensor]:
    """9 keys, 3 layers of SD1."""
    return {**lora(Q, 320, 320), **lora(CONV, 8, 8), **lora(TEXT, 3072, 768)}
