"""Captions to token numbers, with CLIP's real vocabulary."""

from collections.abc import Sequence

import torch

from lib_lyco.models.tokenizer import clip_tokenizer


def tokenise(captions: Sequence[str]) -> torch.Tensor:
    """Token numbers ``(n, 77)``, padded with the end token as SD1 does."""
    return clip_tokenizer().chunks(captions)[:, 0]
