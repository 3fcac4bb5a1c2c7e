"""OFT and Diag-OFT: the output rows of a weight, rotated in blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.rotation import cayley_minus_identity, constrained, skew, turn_rows
from lib_lyco.algos.tensor import beside, check_fit, check_number, matrix, number, require, shape_text
from lib_lyco.errors import AdapterError


@dataclass(frozen=True)
class Oft(Adapter):
    """W' = rescale · RᵀW on each block of rows, R = (I + Q)(I - Q)⁻¹, Q = B - Bᵀ.

    Qiu et al. 2023, *Controlling Text-to-Image Diffusion by Orthogonal Finetuning*,
    arXiv:2306.07280; as sd-scripts' `networks/oft.py` and LyCORIS' Diag-OFT store it. `alpha` is
    no scale here but the constraint: ‖Q‖ over all blocks is clamped to alpha · o. An alpha of 0
    means no constraint to LyCORIS, and to sd-scripts a clamp to 0, which leaves the weight alone.
    `rescale` (LyCORIS) multiplies the rotated rows.
    """

    algo = "diag-oft"
    additive = False

    blocks: Tensor
    """(n, b, b) with o = n·b"""
    alpha: Tensor | None = None
    rescale: Tensor | None = None
    """(o, 1[, 1, 1])"""
    zero_clamps: bool = False
    """Whether a constraint of 0 means the identity (sd-scripts)."""

    @classmethod
    def decode(cls, parts: Mapping[str, Tensor], hints: Hints) -> Oft:
        """Builds the adapter from its parts.

        Raises:
            AdapterError: The blocks are missing or not square, or alpha is not a number.
        """
        blocks, alpha, rescale = rotation_parts(parts, cls.algo, dims=3)
        return cls(blocks, alpha, rescale, hints.is_kohya_oft)

    @property
    def rank(self) -> None:
        return None

    @property
    def scale(self) -> float:
        return 1.0

    def tensors(self) -> dict[str, Tensor]:
        return stored_rotation(self.blocks, self.alpha, self.rescale)

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        return rows_misfit(self.blocks, self.rescale, shape)

    def delta(self, weight: Tensor) -> Tensor:
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        rows = matrix(beside(weight, weight))
        q = limited_skew(self.blocks, self.alpha, rows.shape[0], self.zero_clamps)
        turned = turn_rows(beside(cayley_minus_identity(q), weight), rows)
        return rescaled(turned, rows, self.rescale).reshape(weight.shape)


@dataclass(frozen=True)
class HistoricOft(Adapter):
    """W' = RᵀW on each block of rows, with R itself (or R - I) in the file.

    LyCORIS' first Diag-OFT (part `oft_diag`, 2023-10 to 2024-02), which it no longer reads. For its
    first month it stored R - I. A rotation worth training is near the identity, so the mean of the
    stored diagonal tells the two apart.
    """

    algo = "diag-oft"
    additive = False

    diag: Tensor
    """(n, b, b) with o = n·b"""
    alpha: Tensor | None = None
    """Stored and unused."""

    @classmethod
    def decode(cls, parts: Mapping[str, Tensor], hints: Hints) -> HistoricOft:
        """Builds the adapter from its parts.

        Raises:
            AdapterError: The blocks are missing or not square.
        """
        del hints
        (diag,) = require(parts, cls.algo, "oft_diag")
        _check_square(diag, "oft_diag", dims=3)
        return cls(diag, parts.get("alpha"))

    @property
    def rank(self) -> None:
        return None

    @property
    def scale(self) -> float:
        return 1.0

    def tensors(self) -> dict[str, Tensor]:
        alpha = {} if self.alpha is None else {"alpha": self.alpha}
        return {"oft_diag": self.diag, **alpha}

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        return rows_misfit(self.diag, None, shape)

    def delta(self, weight: Tensor) -> Tensor:
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        stored = beside(self.diag, weight)
        if stored.diagonal(dim1=-2, dim2=-1).mean() > 0.5:
            stored = stored - torch.eye(stored.shape[-1], dtype=stored.dtype, device=stored.device)
        return turn_rows(stored, matrix(beside(weight, weight))).reshape(weight.shape)


def rotation_parts(
    parts: Mapping[str, Tensor], algo: str, dims: int
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Returns `oft_blocks`, `alpha`, `rescale`.

    Raises:
        AdapterError: The blocks are missing or not square, or alpha is not a number.
    """
    (blocks,) = require(parts, algo, "oft_blocks")
    _check_square(blocks, "oft_blocks", dims)
    alpha = parts.get("alpha")
    if alpha is not None:
        check_number(alpha, "alpha")
    return blocks, alpha, parts.get("rescale")


def stored_rotation(blocks: Tensor, alpha: Tensor | None, rescale: Tensor | None) -> dict[str, Tensor]:
    """The parts, as stored."""
    stored = {"oft_blocks": blocks, "alpha": alpha, "rescale": rescale}
    return {part: tensor for part, tensor in stored.items() if tensor is not None}


def limited_skew(blocks: Tensor, alpha: Tensor | None, out: int, zero_clamps: bool) -> Tensor:
    """Returns Q under the constraint alpha · out, on the CPU in float64."""
    q = skew(blocks)
    constraint = 0.0 if alpha is None else number(alpha) * out
    if constraint > 0:
        return constrained(q, constraint)
    return torch.zeros_like(q) if zero_clamps and alpha is not None else q


def rescaled(change: Tensor, rows: Tensor, rescale: Tensor | None) -> Tensor:
    """Returns rescale · (rows + change) - rows, (o, j)."""
    if rescale is None:
        return change
    factor = beside(rescale, rows).reshape(-1, 1)
    return factor * change + (factor - 1) * rows


def rows_misfit(blocks: Tensor, rescale: Tensor | None, shape: tuple[int, ...]) -> str | None:
    """Why blocks (..., n, b, b) cannot turn the rows of a weight, or None."""
    rows = blocks.shape[-3] * blocks.shape[-1]
    if not shape or rows != shape[0]:
        return f"its blocks turn {rows} rows, the weight is {shape_text(shape)}"
    if rescale is not None and rescale.numel() != rows:
        return f"rescale has {rescale.numel()} elements, the weight has {rows} rows"
    return None


def _check_square(blocks: Tensor, part: str, dims: int) -> None:
    if blocks.dim() != dims or blocks.shape[-1] != blocks.shape[-2] or not blocks.numel():
        raise AdapterError(
            f"{part} does not hold square blocks.",
            where=part,
            got=shape_text(tuple(blocks.shape)),
            expected=f"{dims} dims, the last two equal",
        )
