"""T-LoRA: a LoRA that starts at the weight's own singular vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.scaling import Scaling
from lib_lyco.algos.tensor import beside, check_fit, check_inner, matrix, require, shape_text


@dataclass(frozen=True)
class TLora(Adapter):
    """W' = W + s · (P·diag(λ)·Q - P₀·diag(λ₀)·Q₀), s = alpha / r.

    Soboleva et al. 2025, *T-LoRA*, arXiv:2507.05964, as LyCORIS 4 stores it. P₀, λ₀ and Q₀ are not
    in the file: they are the r leading singular vectors and values of the base weight, so the file
    is right only on the base model it was trained on, and each delta costs a singular value
    decomposition. (Their product is the best approximation of W with rank r, whatever signs a
    decomposition picks.) In training a mask drops ranks at high noise; without one all are used.
    Convolutions larger than 1×1 never worked in LyCORIS, so no file has them.
    """

    algo = "tlora"
    additive = False

    q: Tensor
    """(r, i[, 1, 1])"""
    p: Tensor
    """(o, r[, 1, 1])"""
    values: Tensor
    """λ, (1, r)"""
    scaling: Scaling = field(default_factory=Scaling)

    @classmethod
    def decode(cls, parts: Mapping[str, Tensor], hints: Hints) -> TLora:
        """Builds the adapter from its parts.

        Raises:
            AdapterError: A factor is missing, or the factors do not fit each other.
        """
        names = ("q_layer.weight", "p_layer.weight", "lambda_layer")
        q, p, values = require(parts, cls.algo, *names)
        check_inner(cls.algo, (names[1], names[0]), (matrix(p).shape[1], q.shape[0]))
        check_inner(cls.algo, (names[2], names[0]), (values.numel(), q.shape[0]))
        return cls(q, p, values, Scaling.decode(parts, hints, q.shape[0]))

    @property
    def rank(self) -> int:
        return self.q.shape[0]

    @property
    def scale(self) -> float:
        return self.scaling.over(self.rank)

    def tensors(self) -> dict[str, Tensor]:
        return {
            "q_layer.weight": self.q,
            "p_layer.weight": self.p,
            "lambda_layer": self.values,
            **self.scaling.tensors(),
        }

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        rows, columns = self.p.shape[0], matrix(self.q).shape[1]
        if len(shape) >= 2 and (rows, columns) == (shape[0], torch.Size(shape[1:]).numel()):
            return None
        return f"the factors make {rows}x{columns}, the weight is {shape_text(shape)}"

    def delta(self, weight: Tensor) -> Tensor:
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        base = matrix(beside(weight, weight))
        p, q = matrix(beside(self.p, weight)), matrix(beside(self.q, weight))
        trained = (p * beside(self.values, weight).reshape(1, -1)) @ q
        # Not every backend has a decomposition; the CPU always does, and training ran it there. In
        # float64, since in float32 it is many roundings away from the vectors that it looks for.
        u, s, v = torch.linalg.svd(base.cpu().double(), full_matrices=False)
        start = ((u * s)[:, : self.rank] @ v[: self.rank]).to(base)
        return ((trained - start) * self.scale).reshape(weight.shape)
