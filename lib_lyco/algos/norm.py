"""Norm: differences of a normalisation's weight and bias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.tensor import beside, check_fit, optional, shape_text
from lib_lyco.errors import AdapterError


@dataclass(frozen=True)
class Norm(Adapter):
    """W' = W + w_norm, b' = b + b_norm, on LayerNorm and GroupNorm (LyCORIS `train_norm`).

    `b_norm` is absent for a normalisation without a bias, and either may be alone.
    """

    algo = "norm"

    w_norm: Tensor | None = None
    """(c,)"""
    b_norm: Tensor | None = None
    """(c,)"""

    @classmethod
    def decode(cls, parts: Mapping[str, Tensor], hints: Hints) -> Norm:
        """Builds the adapter from `w_norm`, `b_norm` or both."""
        del hints
        return cls(optional(parts, cls.algo, "w_norm", dims=1), optional(parts, cls.algo, "b_norm", dims=1))

    @property
    def rank(self) -> None:
        return None

    @property
    def scale(self) -> float:
        return 1.0

    def tensors(self) -> dict[str, Tensor]:
        stored = {"w_norm": self.w_norm, "b_norm": self.b_norm}
        return {part: tensor for part, tensor in stored.items() if tensor is not None}

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        for part, tensor in self.tensors().items():
            if torch.Size(shape).numel() != tensor.numel():
                return f"{part} is {shape_text(tuple(tensor.shape))}, the weight is {shape_text(shape)}"
        return None

    @property
    def changes_weight(self) -> bool:
        return self.w_norm is not None

    def delta(self, weight: Tensor) -> Tensor:
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        if self.w_norm is None:
            return torch.zeros_like(beside(weight, weight))
        return beside(self.w_norm, weight).reshape(weight.shape)

    def bias_delta(self, bias: Tensor | None) -> Tensor | None:
        if self.b_norm is None:
            return None
        return beside(self.b_norm, self.b_norm if bias is None else bias).reshape(-1)

    def bypass(self, x: Tensor, layer: nn.Module) -> Tensor:
        w, b = (None if part is None else part.to(x).reshape(-1) for part in (self.w_norm, self.b_norm))
        if isinstance(layer, nn.LayerNorm):
            shape = list(layer.normalized_shape)
            plain = F.layer_norm(x, shape, eps=layer.eps)
            w, b = (None if part is None else part.reshape(shape) for part in (w, b))
        elif isinstance(layer, nn.GroupNorm):
            plain = F.group_norm(x, layer.num_groups, eps=layer.eps)
            ones = [1] * (x.dim() - 2)
            w, b = (None if part is None else part.reshape(-1, *ones) for part in (w, b))
        else:
            raise AdapterError(
                "A norm adapter cannot be bypassed on this layer.",
                where=type(layer).__name__,
                expected="LayerNorm or GroupNorm",
                remedy="Merge the network instead.",
            )
        change = torch.zeros_like(plain) if w is None else plain * w
        return change if b is None else change + b
