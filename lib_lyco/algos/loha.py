"""LoHa: the Hadamard product of two low-rank products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lib_lyco.algos.adapter import Adapter, LowRank
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.operation import two_stage
from lib_lyco.algos.scaling import Scaling
from lib_lyco.algos.tensor import beside, check_fit, check_inner, matrix, require, shape_text

_FACTORS = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
_CORES = ("hada_t1", "hada_t2")
_SMALL_RANK = 4
_BLOCK = 1 << 18
"""Elements of a delta formed at once."""


@dataclass(frozen=True)
class LoHa(Adapter):
    """W' = W + s · (w1a·w1b) ⊙ (w2a·w2b), s = alpha / r.

    Hyeon-Woo et al. 2021, *FedPara*, arXiv:2108.06098, prop. 1 and, for the Tucker form of
    convolutions, prop. 3; LyCORIS, arXiv:2309.14859. In the Tucker form each half is

        H[o, i, ...] = Σ_mn t[m, n, ...] · wa[m, o] · wb[n, i]

    The scale is applied once, as in training; LyCORIS' own merge applies it twice.

    A Hadamard product of products is again a product, of rank r²: row o of `up` is the outer
    product of the rows o of w1a and w2a (a face-splitting product, Slyusar 1999), and so on for
    the columns of `down`. Below some rank that beats forming the delta.
    """

    algo = "loha"

    w1_a: Tensor
    """(o, r[, 1, 1]); (r, o) with cores"""
    w1_b: Tensor
    """(r, i * ...), or (r, i, ...) as OneTrainer stores it; (r, i) with cores"""
    w2_a: Tensor
    w2_b: Tensor
    t1: Tensor | None = None
    """(r, r, ...)"""
    t2: Tensor | None = None
    scaling: Scaling = field(default_factory=Scaling)

    @classmethod
    def decode(cls, parts: Mapping[str, Tensor], hints: Hints) -> LoHa:
        """Builds the adapter from its parts.

        Raises:
            AdapterError: A factor is missing, or the factors do not fit each other.
        """
        w1_a, w1_b, w2_a, w2_b = require(parts, cls.algo, *_FACTORS)
        t1 = t2 = None
        if any(core in parts for core in _CORES):
            t1, t2 = require(parts, cls.algo, *_CORES)
        for a, b, core, half in ((w1_a, w1_b, t1, 1), (w2_a, w2_b, t2, 2)):
            names = (f"hada_w{half}_a", f"hada_w{half}_b")
            if core is None:
                check_inner(cls.algo, names, (matrix(a).shape[1], b.shape[0]))
            else:
                check_inner(cls.algo, (names[0], f"hada_t{half}"), (a.shape[0], core.shape[0]))
                check_inner(cls.algo, (f"hada_t{half}", names[1]), (core.shape[1], b.shape[0]))
        return cls(w1_a, w1_b, w2_a, w2_b, t1, t2, Scaling.decode(parts, hints, w1_b.shape[0]))

    @property
    def rank(self) -> int:
        return self.w1_b.shape[0]

    @property
    def scale(self) -> float:
        return self.scaling.over(self.rank)

    def tensors(self) -> dict[str, Tensor]:
        factors = zip(_FACTORS, (self.w1_a, self.w1_b, self.w2_a, self.w2_b), strict=True)
        cores = zip(_CORES, (self.t1, self.t2), strict=True)
        return {
            **dict(factors),
            **{part: core for part, core in cores if core is not None},
            **self.scaling.tensors(),
        }

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        made = [_size(self.w1_a, self.w1_b, self.t1), _size(self.w2_a, self.w2_b, self.t2)]
        if len(shape) >= 2 and all(size == (shape[0], torch.Size(shape[1:]).numel()) for size in made):
            return None
        halves = " and ".join(shape_text(size) for size in made)
        return f"its halves are {halves}, the weight is {shape_text(shape)}"

    def delta(self, weight: Tensor) -> Tensor:
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        (a1, b1), (a2, b2) = self._halves(weight)
        return (((a1 * self.scale) @ b1) * (a2 @ b2)).reshape(weight.shape)

    @property
    def merges_as_product(self) -> bool:
        """Beyond a small rank, r² terms are more work than two products of r and their product."""
        return self.rank <= _SMALL_RANK

    def add_delta(self, total: Tensor, weight: Tensor, multiplier: float) -> None:
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        (a1, b1), (a2, b2) = self._halves(weight)
        a1 = a1 * self.scale
        # on a CPU some rows at a time: what is multiplied is then still near the processor
        rows = max(1, _BLOCK // b1.shape[1]) if total.device.type == "cpu" else len(a1)
        for block, up1, up2 in zip(matrix(total).split(rows), a1.split(rows), a2.split(rows), strict=True):
            block.addcmul_(up1 @ b1, up2 @ b2, value=multiplier)

    def low_rank(self) -> LowRank | None:
        """The face-splitting factors, where 3 r² (o + i) < o i: there they save work and memory."""
        o, i = _size(self.w1_a, self.w1_b, self.t1)
        if 3 * self.rank**2 * (o + i) >= o * i:
            return None
        return self._split(self.w1_a)

    def bypass(self, x: Tensor, layer: nn.Module) -> Tensor:
        if self.low_rank() is None:
            return super().bypass(x, layer)
        factors = self._split(x)
        return two_stage(x, layer, factors.up.to(x.dtype), factors.down.to(x.dtype))

    def _split(self, like: Tensor) -> LowRank:
        (a1, b1), (a2, b2) = self._halves(like)
        up = torch.einsum("om,on->omn", a1 * self.scale, a2).flatten(1)
        return LowRank(up=up, down=torch.einsum("mi,ni->mni", b1, b2).flatten(0, 1))

    def _halves(self, like: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Returns (o, r), (r, i * ...) per half, the core taken into the second."""
        return _half(self.w1_a, self.w1_b, self.t1, like), _half(self.w2_a, self.w2_b, self.t2, like)


def _half(a: Tensor, b: Tensor, core: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor]:
    a, b = matrix(beside(a, like)), matrix(beside(b, like))
    if core is None:
        return a, b
    return a.T, torch.einsum("mn...,ni->mi...", beside(core, like), b).flatten(1)


def _size(a: Tensor, b: Tensor, core: Tensor | None) -> tuple[int, int]:
    """Rows and columns of a half, as a matrix."""
    if core is None:
        return a.shape[0], matrix(b).shape[1]
    return matrix(a).shape[1], matrix(b).shape[1] * core.shape[2:].numel()
