"""Captions become conds: encoded with every batch while a text encoder learns, else once."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lib_lyco.models.base import BaseModel, Cond


class Texts:
    """The conds of captions."""

    def __init__(self, model: BaseModel, clip_skip: int, learning: bool) -> None:
        self._model = model
        self._clip_skip = clip_skip
        self._learning = learning
        self._kept: dict[str, Cond] = {}

    def conds(self, captions: Sequence[str]) -> Cond:
        """The conds of a batch, on the model's device; with gradients if a text encoder learns."""
        if self._learning:
            return self._model.encode_prompts(captions, self._clip_skip)
        for caption in captions:
            if caption not in self._kept:
                with torch.no_grad():
                    self._kept[caption] = self._model.encode_prompts([caption], self._clip_skip)
        return _joined([self._kept[caption] for caption in captions])


def _joined(conds: Sequence[Cond]) -> Cond:
    pooled = [cond.pooled for cond in conds if cond.pooled is not None]
    return Cond(
        states=torch.cat([cond.states for cond in conds]),
        pooled=torch.cat(pooled) if pooled else None,
    )
