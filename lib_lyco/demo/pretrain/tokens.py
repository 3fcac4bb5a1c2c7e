"""Captions to token numbers, with CLIP's real vocabulary."""

from collections.abc import Sequence

import torch

from lib_lyco.models.base import PLAIN_TEXT
from lib_lyco.models.chunks import make_chunks
from lib_lyco.models.tokenizer import clip_tokenizer


def tokenise(captions: Sequence[str]) -> torch.Tensor:
    """Token numbers ``(n, 77)``, padded with the end token as SD1 does."""
    return make_chunks(clip_tokenizer(), captions, PLAIN_TEXT).tokens[:, 0]
