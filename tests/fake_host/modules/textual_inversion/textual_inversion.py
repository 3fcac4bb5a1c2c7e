"""Embeddings that a prompt names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import devices


class Embedding:
    """The vectors of a word."""

    def __init__(self, vec: Tensor, name: str, step: int | None = None) -> None:
        self.vec = vec
        self.name = name
        self.step = step
        self.shape: int | None = None
        self.vectors = 0
        self.filename: str | None = None
        self.hash: str | None = None
        self.shorthash: str | None = None
        self.loaded: Any = None

    def set_hash(self, v: str) -> None:
        """Keeps the hash and its first twelve digits."""
        self.hash = v
        self.shorthash = v[:12]


class EmbeddingDatabase:
    """The embeddings known now. Nothing is read from disk here."""

    def __init__(self) -> None:
        self.ids_lookup: dict[int, list[tuple[list[int], Embedding]]] = {}
        self.word_embeddings: dict[str, Embedding] = {}
        self.skipped_embeddings: dict[str, Embedding] = {}
        self.expected_shape = -1

    def register_embedding(self, embedding: Embedding, model: Any) -> Embedding | None:
        """Under its own name."""
        return self.register_embedding_by_name(embedding, model, embedding.name)

    def register_embedding_by_name(
        self, embedding: Embedding | None, model: Any, name: str
    ) -> Embedding | None:
        """Makes a word mean the embedding; None takes it back."""
        ids: list[int] = model.cond_stage_model.tokenize([name])[0]
        others = [entry for entry in self.ids_lookup.get(ids[0], []) if entry[1].name != name]
        if embedding is None:
            self.word_embeddings.pop(name, None)
        else:
            others.append((ids, embedding))
            self.word_embeddings[name] = embedding
        self.ids_lookup[ids[0]] = sorted(others, key=lambda entry: len(entry[0]), reverse=True)
        if not others:
            del self.ids_lookup[ids[0]]
        return embedding

    def load_textual_inversion_embeddings(self, force_reload: bool = False) -> None:
        """Reads the folder again; whatever did not come from it is gone."""
        if force_reload:
            self.ids_lookup.clear()
            self.word_embeddings.clear()
            self.skipped_embeddings.clear()

    def find_embedding_at_position(
        self, tokens: list[int], offset: int
    ) -> tuple[Embedding, int] | tuple[None, None]:
        """The embedding whose words begin at the offset, and how many words it has."""
        for ids, embedding in self.ids_lookup.get(tokens[offset], []):
            if tokens[offset : offset + len(ids)] == ids:
                return embedding, len(ids)
        return None, None


def create_embedding_from_data(
    data: dict[str, Any], name: str, filename: str = "unknown", filepath: str | None = None
) -> Embedding:
    """Reads one of the forms in which embeddings are stored."""
    del filename
    if "string_to_param" in data:
        (vectors,) = data["string_to_param"].values()
    else:
        (vectors,) = (value for value in data.values() if isinstance(value, torch.Tensor))
    vec = torch.atleast_2d(vectors.detach()).to(devices.device, torch.float32)
    embedding = Embedding(vec, name)
    embedding.vectors, embedding.shape = vec.shape
    embedding.filename = filepath
    return embedding
