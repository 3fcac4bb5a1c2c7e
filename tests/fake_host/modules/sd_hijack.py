"""What the host wraps around a text encoder, for words with vectors of their own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.fake_host.text_encoder import END, LENGTH, START, FrozenCLIPEmbedder, tokenize

from . import devices
from .textual_inversion.textual_inversion import Embedding, EmbeddingDatabase

Fixes = list[list[tuple[int, Embedding]]]


class EmbeddingsWithFixes(nn.Module):
    """The token embedding; vectors of embeddings stand where their words are."""

    def __init__(self, wrapped: nn.Module, embeddings: StableDiffusionModelHijack) -> None:
        super().__init__()
        self.wrapped = wrapped
        self.embeddings = embeddings

    def forward(self, input_ids: Tensor) -> Tensor:
        """input_ids (b, n) -> (b, n, width)."""
        fixes, self.embeddings.fixes = self.embeddings.fixes, None
        vectors = self.wrapped(input_ids)
        for row, of_row in zip(vectors, fixes or [], strict=False):
            for offset, embedding in of_row:
                room = row[offset + 1 : -1][: len(embedding.vec)]
                room.copy_(devices.cond_cast_unet(embedding.vec)[: len(room)])
        return vectors


class FrozenCLIPEmbedderWithCustomWords(nn.Module):
    """Takes prompts; made anew whenever weights were loaded."""

    def __init__(self, wrapped: FrozenCLIPEmbedder, hijack: StableDiffusionModelHijack) -> None:
        super().__init__()
        self.wrapped = wrapped
        self.hijack = hijack

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """Numbers without start and end."""
        return [tokenize(text) for text in texts]

    def forward(self, texts: list[str]) -> Tensor:
        """Prompts -> (b, 77, width)."""
        rows: list[list[int]] = []
        fixes: Fixes = []
        for tokens in self.tokenize(texts):
            row, of_row, offset = [START], list[tuple[int, Embedding]](), 0
            while offset < len(tokens):
                embedding, length = self.hijack.embedding_db.find_embedding_at_position(tokens, offset)
                if embedding is None:
                    row.append(tokens[offset])
                else:
                    of_row.append((len(row) - 1, embedding))
                    row += [0] * embedding.vectors
                offset += length or 1
            rows.append((row + [END] * LENGTH)[: LENGTH - 1] + [END])
            fixes.append(of_row)
        self.hijack.fixes = fixes
        return self.wrapped(torch.tensor(rows))


class StableDiffusionModelHijack:
    """Its state is the host's, not the model's."""

    def __init__(self) -> None:
        self.fixes: Fixes | None = None
        self.comments: list[str] = []
        self.extra_generation_params: dict[str, Any] = {}
        self.embedding_db = EmbeddingDatabase()
        self.circular_enabled = False

    def apply_circular(self, enable: bool) -> None:
        """Pictures that tile. None do here."""
        self.circular_enabled = enable

    def hijack(self, m: Any) -> None:
        """Puts the wrappers on."""
        embeddings = m.cond_stage_model.transformer.text_model.embeddings
        embeddings.token_embedding = EmbeddingsWithFixes(embeddings.token_embedding, self)
        m.cond_stage_model = FrozenCLIPEmbedderWithCustomWords(m.cond_stage_model, self)

    def undo_hijack(self, m: Any) -> None:
        """Takes them off: weights are loaded into what is inside."""
        m.cond_stage_model = m.cond_stage_model.wrapped
        embeddings = m.cond_stage_model.transformer.text_model.embeddings
        embeddings.token_embedding = embeddings.token_embedding.wrapped

    def clear_comments(self) -> None:
        """A new job."""
        self.comments = []
        self.extra_generation_params = {}


model_hijack = StableDiffusionModelHijack()
