"""BOFT: block rotations in butterfly stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.oft import limited_skew, rescaled, rotation_parts, rows_misfit, stored_rotation
from lib_lyco.algos.rotation import cayley_minus_identity
from lib_lyco.algos.tensor import beside, check_fit, matrix, shape_text


@dataclass(frozen=True)
class Boft(Adapter):
    """W' = rescale · R_m ··· R_2 R_1 W, each stage a block rotation between two shuffles of rows.

    Liu et al. 2023, *Parameter-Efficient Orthogonal Finetuning via Butterfly Factorization*,
    arXiv:2311.06243, §4; as LyCORIS stores it (functional/boft.py). Stage i mixes rows that are
    2ⁱ·b/2 apart. The constraint is Diag-OFT's, over all stages together.
    """

    algo = "boft"
    additive = False

    blocks: Tensor
    """(m, n, b, b): stages, blocks; o = n·b"""
    alpha: Tensor | None = None
    rescale: Tensor | None = None
    """(o, 1[, 1, 1])"""

    @classmethod
    def decode(cls, parts: Mapping[str, Tensor], hints: Hints) -> Boft:
        """Builds the adapter from its parts.

        Raises:
            AdapterError: The blocks are missing or not square, or alpha is not a number.
        """
        del hints
        return cls(*rotation_parts(parts, cls.algo, dims=4))

    @property
    def rank(self) -> None:
        return None

    @property
    def scale(self) -> float:
        return 1.0

    def tensors(self) -> dict[str, Tensor]:
        return stored_rotation(self.blocks, self.alpha, self.rescale)

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        stages, _, b, _ = self.blocks.shape
        reason = rows_misfit(self.blocks, self.rescale, shape)
        if reason is None and (b % 2 or shape[0] % (2 ** (stages - 1) * b)):
            return f"{stages} butterfly stages of {b} rows do not divide the weight's {shape_text(shape)}"
        return reason

    def delta(self, weight: Tensor) -> Tensor:
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        rows = matrix(beside(weight, weight))
        q = limited_skew(self.blocks, self.alpha, rows.shape[0], zero_clamps=False)
        # The change is carried from stage to stage, not the weight: a difference of two nearly
        # equal weights at the end would lose what float32 cannot hold beside them.
        change = torch.zeros_like(rows)
        for stage, turn in enumerate(beside(cayley_minus_identity(q), weight)):
            change = change + _stage(turn, rows + change, stage)
        return rescaled(change, rows, self.rescale).reshape(weight.shape)


def _stage(turn: Tensor, rows: Tensor, stage: int) -> Tensor:
    """Returns (R - I) rows for one stage.

    Args:
        turn: R - I, (n, b, b).
        rows: (o, j), seen as (c, g, k, j) with g = 2 and k = 2^stage · b/2. A block holds b
            consecutive rows of the order (c, k, g).
        stage: 0 mixes the nearest rows.
    """
    b = turn.shape[-1]
    near = 2**stage * b // 2
    shuffled = rows.reshape(-1, 2, near, rows.shape[-1]).transpose(1, 2)
    turned = torch.einsum("nxy,nyj->nxj", turn, shuffled.reshape(-1, b, rows.shape[-1]))
    return turned.reshape(shuffled.shape).transpose(1, 2).reshape(rows.shape)
