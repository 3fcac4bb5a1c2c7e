from typing import Any

from modules.sd_models import HostModel
from torch import Tensor

class Embedding:
    vec: Tensor | dict[str, Tensor]
    name: str
    shape: int
    """Width of its vectors."""
    shorthash: str | None

class EmbeddingDatabase:
    word_embeddings: dict[str, Embedding]
    skipped_embeddings: dict[str, Embedding]
    expected_shape: int
    """Width that fits the model; -1 if unknown."""
    def register_embedding(self, embedding: Embedding, model: HostModel) -> Embedding: ...
    def register_embedding_by_name(
        self, embedding: Embedding | None, model: HostModel, name: str
    ) -> Embedding | None:
        """None for the embedding takes the name out."""

def create_embedding_from_data(
    data: dict[str, Any], name: str, filename: str = ..., filepath: str | None = None
) -> Embedding:
    """Raises Exception, AssertionError or KeyError for data that is no embedding."""
