"""Full: a difference of the weight or bias as it is, or a new weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.tensor import beside, check_fit, optional, require, shape_text


@dataclass(frozen=True)
class Full(Adapter):
    """W' = W + diff, b' = b + diff_b.

    LyCORIS' `full`, ai-toolkit's full layers and every extraction that gives up on low rank. Either
    of the two may be alone. A layer without a bias gets one, 0 + diff_b.
    """

    algo = "full"

    diff: Tensor | None = None
    """(o, i, ...), or any shape of that many elements"""
    diff_b: Tensor | None = None
    """(o,)"""

    @classmethod
    def decode(cls, parts: Mapping[str, Tensor], hints: Hints) -> Full:
        """Builds the adapter from `diff`, `diff_b` or both."""
        del hints
        return cls(optional(parts, cls.algo, "diff", dims=1), optional(parts, cls.algo, "diff_b", dims=1))

    @property
    def rank(self) -> None:
        return None

    @property
    def scale(self) -> float:
        return 1.0

    def tensors(self) -> dict[str, Tensor]:
        stored = {"diff": self.diff, "diff_b": self.diff_b}
        return {part: tensor for part, tensor in stored.items() if tensor is not None}

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        if self.diff is not None and not _same_weight(tuple(self.diff.shape), shape):
            return f"diff is {shape_text(tuple(self.diff.shape))}, the weight is {shape_text(shape)}"
        if self.diff_b is not None and self.diff_b.numel() != shape[0]:
            return f"diff_b has {self.diff_b.numel()} elements, the weight has {shape[0]} rows"
        return None

    @property
    def changes_weight(self) -> bool:
        return self.diff is not None

    def delta(self, weight: Tensor) -> Tensor:
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        if self.diff is None:
            return torch.zeros_like(beside(weight, weight))
        return beside(self.diff, weight).reshape(weight.shape)

    def bias_delta(self, bias: Tensor | None) -> Tensor | None:
        if self.diff_b is None:
            return None
        return beside(self.diff_b, self.diff_b if bias is None else bias).reshape(-1)


@dataclass(frozen=True)
class SetWeight(Adapter):
    """W' = set_weight, ComfyUI's replacement of a whole weight (`set_weight`, comfy/lora.py)."""

    algo = "set"
    additive = False

    weight: Tensor
    """(o, i, ...)"""

    @classmethod
    def decode(cls, parts: Mapping[str, Tensor], hints: Hints) -> SetWeight:
        """Builds the adapter from `set_weight`.

        Raises:
            AdapterError: It is missing.
        """
        del hints
        return cls(*require(parts, cls.algo, "set_weight", dims=1))

    @property
    def rank(self) -> None:
        return None

    @property
    def scale(self) -> float:
        return 1.0

    def tensors(self) -> dict[str, Tensor]:
        return {"set_weight": self.weight}

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        if _same_weight(tuple(self.weight.shape), shape):
            return None
        return f"set_weight is {shape_text(tuple(self.weight.shape))}, the weight is {shape_text(shape)}"

    def delta(self, weight: Tensor) -> Tensor:
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        return beside(self.weight, weight).reshape(weight.shape) - beside(weight, weight)


def _same_weight(stored: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Equal but for trailing dims of 1: a pointwise conv and a Linear hold the same matrix."""
    longest = max(len(stored), len(shape))
    padded = [(*dims, *[1] * (longest - len(dims))) for dims in (stored, shape)]
    return padded[0] == padded[1]
