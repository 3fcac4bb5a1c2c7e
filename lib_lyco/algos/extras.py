"""What a layer may carry beside any algorithm: a residual of the delta, a change of the bias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.operation import is_conv, operate, weight_of
from lib_lyco.algos.tensor import beside, check_fit, require, shape_text

SPARSE = ("bias_indices", "bias_values", "bias_size")


@dataclass(frozen=True)
class Extras(Adapter):
    """W' = W + ΔW + s · B, b' = b + diff_b around another algorithm's ΔW and scale s.

    B is what a low-rank extraction left out, misleadingly called a bias: LyCORIS' extraction
    writes it sparse (`bias_indices`, `bias_values`, `bias_size`), the host's builtin reads it dense
    (`bias`), both before the scale. `diff_b` beside a LoRA comes from extractions, too, and is a
    change of the real bias.
    """

    inner: Adapter
    dense: Tensor | None = None
    """(o, i, ...) or any shape of that many elements"""
    sparse: tuple[Tensor, Tensor, Tensor] | None = None
    """Indices (dims, n), values (n,), size (dims,), any integer dtypes"""
    diff_b: Tensor | None = None
    """(o,)"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "algo", self.inner.algo)
        object.__setattr__(self, "additive", self.inner.additive)

    @classmethod
    def around(cls, inner: Adapter, parts: Mapping[str, Tensor]) -> Adapter:
        """Returns the adapter with the extras among the parts, or as it is where there are none.

        Raises:
            AdapterError: A sparse residual is incomplete.
        """
        sparse = None
        if any(part in parts for part in SPARSE):
            indices, values, size = require(parts, "sparse residual", *SPARSE, dims=1)
            sparse = (indices, values, size)
        dense, diff_b = parts.get("bias"), parts.get("diff_b")
        if dense is None and sparse is None and diff_b is None:
            return inner
        return cls(inner, dense, sparse, diff_b)

    @property
    def rank(self) -> int | None:
        return self.inner.rank

    @property
    def scale(self) -> float:
        return self.inner.scale

    @property
    def changes_weight(self) -> bool:
        return self.inner.changes_weight or self.dense is not None or self.sparse is not None

    def tensors(self) -> dict[str, Tensor]:
        dense = {} if self.dense is None else {"bias": self.dense}
        sparse = {} if self.sparse is None else dict(zip(SPARSE, self.sparse, strict=True))
        bias = {} if self.diff_b is None else {"diff_b": self.diff_b}
        return {**self.inner.tensors(), **dense, **sparse, **bias}

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        reason = self.inner.misfit(shape)
        if reason is not None:
            return reason
        elements = torch.Size(shape).numel()
        if self.dense is not None and self.dense.numel() != elements:
            return f"bias is {shape_text(tuple(self.dense.shape))}, the weight is {shape_text(shape)}"
        if self.sparse is not None:
            size = tuple(self.sparse[2].long().flatten().tolist())
            if torch.Size(size).numel() != elements:
                return f"bias_size is {shape_text(size)}, the weight is {shape_text(shape)}"
            if not _is_inside(*self.sparse):
                return f"bias_indices point outside bias_size, {shape_text(size)}"
        if self.diff_b is not None and self.diff_b.numel() != shape[0]:
            return f"diff_b has {self.diff_b.numel()} elements, the weight has {shape[0]} rows"
        return None

    def delta(self, weight: Tensor) -> Tensor:
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        residual = self._residual(weight)
        change = self.inner.delta(weight)
        return change if residual is None else change + residual.reshape(weight.shape) * self.scale

    def bias_delta(self, bias: Tensor | None) -> Tensor | None:
        change = self.inner.bias_delta(bias)
        if self.diff_b is None:
            return change
        added = beside(self.diff_b, self.diff_b if bias is None else bias).reshape(-1)
        return added if change is None else change + added

    def bypass(self, x: Tensor, layer: nn.Module) -> Tensor:
        weight = weight_of(layer)
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        out = self.inner.bypass(x, layer)
        residual = self._residual(x)
        if residual is not None:
            kernel = (residual * self.scale).to(x.dtype).reshape(weight.shape)
            out = out + operate(x, layer, kernel)
        if self.diff_b is not None:
            ones = [1] * (weight.dim() - 2) if is_conv(layer) else []
            out = out + self.diff_b.to(x).reshape(-1, *ones)
        return out

    def truncated(self, rank: int) -> Extras:
        return Extras(self.inner.truncated(rank), self.dense, self.sparse, self.diff_b)

    def _residual(self, like: Tensor) -> Tensor | None:
        """B, in whatever shape it is stored."""
        total = None if self.dense is None else beside(self.dense, like).reshape(-1)
        if self.sparse is not None:
            indices, values, size = self.sparse
            plain = torch.zeros(tuple(size.long().tolist()))
            plain.index_put_(tuple(indices.long().cpu()), values.float().cpu(), accumulate=True)
            spread = beside(plain, like).reshape(-1)
            total = spread if total is None else total + spread
        return total


def _is_inside(indices: Tensor, values: Tensor, size: Tensor) -> bool:
    """Whether a sparse residual is well formed and points into its own size."""
    return (
        indices.dim() == 2
        and size.dim() == 1
        and indices.shape == (size.shape[0], values.numel())
        and bool((indices.long() >= 0).all())
        and bool((indices.long() < size.long()[:, None]).all())
    )
