"""LoKr: a Kronecker product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.operation import is_conv, operate, weight_of
from lib_lyco.algos.scaling import Scaling
from lib_lyco.algos.tensor import beside, check_fit, check_inner, matrix, optional, require, shape_text

_NAMES = ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")


@dataclass(frozen=True)
class LoKr(Adapter):
    """W' = W + s · w1 ⊗ w2, with o = l·k and i = c·n.

    Edalati et al. 2022, *KronA*, arXiv:2212.10650; LyCORIS, arXiv:2309.14859. Each of the two is
    stored whole or as a product, w1 = w1a·w1b, w2 = w2a·w2b, and w2 of a convolution also with a
    Tucker core: w2[k, n, ...] = Σ_mp t2[m, p, ...] · w2a[m, k] · w2b[p, n].

    s = alpha / r, where r is the inner dim of w2's product, else of w1's. With both whole there is
    no r and s = 1, whatever alpha says: LyCORIS trains so, and stores an alpha all the same. How o
    and i were factored is read off the shapes, so unbalanced files and 1×1 w1 need no case of
    their own. The scale is applied once, as in training; LyCORIS' own merge applies it twice.
    """

    algo = "lokr"

    w1: Tensor | None = None
    """(l, c)"""
    w1_a: Tensor | None = None
    """(l, r)"""
    w1_b: Tensor | None = None
    """(r, c)"""
    w2: Tensor | None = None
    """(k, n[, ...])"""
    w2_a: Tensor | None = None
    """(k, r); (r, k) with a core"""
    w2_b: Tensor | None = None
    """(r, n[ * ...]); (r, n) with a core"""
    t2: Tensor | None = None
    """(r, r, ...)"""
    scaling: Scaling = field(default_factory=Scaling)

    @classmethod
    def decode(cls, parts: Mapping[str, Tensor], hints: Hints) -> LoKr:
        """Builds the adapter from its parts; a whole factor wins over its product.

        Raises:
            AdapterError: A factor is missing, or the factors do not fit each other.
        """
        held: dict[str, Tensor] = {}
        for factor in ("w1", "w2"):
            if f"lokr_{factor}" in parts:
                (held[factor],) = require(parts, cls.algo, f"lokr_{factor}")
                continue
            a, b = require(parts, cls.algo, f"lokr_{factor}_a", f"lokr_{factor}_b")
            core = optional(parts, cls.algo, "lokr_t2") if factor == "w2" else None
            names = (f"lokr_{factor}_a", f"lokr_{factor}_b")
            if core is None:
                check_inner(cls.algo, names, (matrix(a).shape[1], b.shape[0]))
            else:
                check_inner(cls.algo, (names[0], "lokr_t2"), (a.shape[0], core.shape[0]))
                check_inner(cls.algo, ("lokr_t2", names[1]), (core.shape[1], b.shape[0]))
                held["t2"] = core
            held |= {f"{factor}_a": a, f"{factor}_b": b}
        unscaled = cls(**held, scaling=Scaling())
        return replace(unscaled, scaling=Scaling.decode(parts, hints, unscaled.rank))

    @property
    def rank(self) -> int | None:
        for inner in (self.w2_b, self.w1_b):
            if inner is not None:
                return inner.shape[0]
        return None

    @property
    def scale(self) -> float:
        return self.scaling.over(self.rank)

    def tensors(self) -> dict[str, Tensor]:
        stored: list[tuple[str, Tensor | None]] = [(name, getattr(self, name)) for name in _NAMES]
        factors = {f"lokr_{name}": tensor for name, tensor in stored if tensor is not None}
        return {**factors, **self.scaling.tensors()}

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        rows1, columns1 = _size(self.w1, self.w1_a, self.w1_b, None)
        rows2, columns2 = _size(self.w2, self.w2_a, self.w2_b, self.t2)
        if (
            len(shape) >= 2
            and rows1 * rows2 == shape[0]
            and shape[1] % columns1 == 0
            and columns1 * columns2 == torch.Size(shape[1:]).numel()
        ):
            return None
        made = f"{rows1}x{columns1} (x) {rows2}x{columns2}"
        return f"the factors make {made}, the weight is {shape_text(shape)}"

    def delta(self, weight: Tensor) -> Tensor:
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        w1 = self._w1(weight)
        a, b = self._w2(weight)
        w2 = (b if a is None else a @ b).reshape(-1, weight.shape[1] // w1.shape[1], *weight.shape[2:])
        return torch.einsum("lc,kn...->lkcn...", w1, w2).reshape(weight.shape)

    def add_delta(self, total: Tensor, weight: Tensor, multiplier: float) -> None:
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        w1 = self._w1(weight)
        a, b = self._w2(weight)
        w2 = b if a is None else a @ b
        slices = total.view(w1.shape[0], w2.shape[0], w1.shape[1], -1)
        slices.addcmul_(w1[:, None, :, None], w2[None, :, None], value=multiplier)

    def bypass(self, x: Tensor, layer: nn.Module) -> Tensor:
        """The product's two stages: w2 on each of the c slices of the input, then w1 across them.

        Costs i·o/l + o·c multiplications per position instead of i·o. A grouped convolution
        mixes groups with slices, so there the delta is formed.
        """
        shape = tuple(weight_of(layer).shape)
        check_fit(self.misfit(shape), self.algo)
        w1 = self._w1(x).to(x.dtype)
        a, b = (None if factor is None else factor.to(x.dtype) for factor in self._w2(x))
        assert b is not None
        n = shape[1] // w1.shape[1]
        kernel = b.reshape(b.shape[0], n, *shape[2:])
        if not is_conv(layer):
            h = operate(x.reshape(*x.shape[:-1], -1, n), layer, kernel)
            h = h if a is None else h @ a.T
            return torch.einsum("lc,...ck->...lk", w1, h).flatten(-2)
        if x.dim() != len(shape) or x.shape[1] != shape[1]:
            return super().bypass(x, layer)
        h = operate(x.reshape(-1, n, *x.shape[2:]), layer, kernel)
        if a is not None:
            h = torch.einsum("kr,br...->bk...", a, h)
        h = h.reshape(x.shape[0], -1, *h.shape[1:])
        return torch.einsum("lc,bck...->blk...", w1, h).flatten(1, 2)

    def _w1(self, like: Tensor) -> Tensor:
        """(l, c), the scale in it."""
        if self.w1 is not None:
            return matrix(beside(self.w1, like)) * self.scale
        assert self.w1_a is not None and self.w1_b is not None
        return (matrix(beside(self.w1_a, like)) * self.scale) @ matrix(beside(self.w1_b, like))

    def _w2(self, like: Tensor) -> tuple[Tensor | None, Tensor]:
        """Either None and (k, n * ...), or (k, r) and (r, n * ...) with the core in the second."""
        if self.w2 is not None:
            return None, matrix(beside(self.w2, like))
        assert self.w2_a is not None and self.w2_b is not None
        a, b = matrix(beside(self.w2_a, like)), matrix(beside(self.w2_b, like))
        if self.t2 is None:
            return a, b
        return a.T, torch.einsum("mp...,pn->mn...", beside(self.t2, like), b).flatten(1)


def _size(whole: Tensor | None, a: Tensor | None, b: Tensor | None, core: Tensor | None) -> tuple[int, int]:
    """Rows and columns of a factor, as a matrix."""
    if whole is not None:
        return whole.shape[0], matrix(whole).shape[1]
    assert a is not None and b is not None
    if core is None:
        return a.shape[0], matrix(b).shape[1]
    return matrix(a).shape[1], b.shape[1] * core.shape[2:].numel()
