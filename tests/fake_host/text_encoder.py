"""CLIP's text encoder under the names of transformers, and a tokenizer that needs no vocabulary."""

from __future__ import annotations

import math
import re
import zlib

import torch
from torch import Tensor, nn

LENGTH = 77
VOCABULARY = 49_408
START, END = VOCABULARY - 2, VOCABULARY - 1
HEADS = 4


def tokenize(text: str) -> list[int]:
    """One number per word, the same one each time; punctuation is dropped."""
    return [zlib.crc32(word.encode()) % START for word in re.findall(r"[\w-]+", text.lower())]


class Attention(nn.Module):
    """Each place sees those before it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(later, -math.inf)
        return self.out_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Out and back, with CLIP's quick GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, width * 4)
        self.fc2 = nn.Linear(width * 4, width)

    def forward(self, x: Tensor) -> Tensor:
        inside = self.fc1(x)
        return self.fc2(inside * torch.sigmoid(1.702 * inside))


class EncoderLayer(nn.Module):
    """Attention, then the MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.self_attn = Attention(width)
        self.layer_norm1 = nn.LayerNorm(width)
        self.mlp = MLP(width)
        self.layer_norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Embeddings(nn.Module):
    """Words and places."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token_embedding: nn.Module = nn.Embedding(VOCABULARY, width)
        self.position_embedding = nn.Embedding(LENGTH, width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.token_embedding(tokens) + self.position_embedding.weight


class Encoder(nn.Module):
    """Twelve layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(width) for _ in range(12))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class TextTransformer(nn.Module):
    """text_model of transformers' CLIPTextModel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embeddings = Embeddings(width)
        self.encoder = Encoder(width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.final_layer_norm(self.encoder(self.embeddings(tokens)))


class CLIPTextModel(nn.Module):
    """tokens (b, 77) -> (b, 77, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.text_model = TextTransformer(width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.text_model(tokens)


class FrozenCLIPEmbedder(nn.Module):
    """ldm's text encoder: what a checkpoint calls cond_stage_model."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transformer = CLIPTextModel(width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.transformer(tokens)
