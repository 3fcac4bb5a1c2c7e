"""OFT on the input side, as PEFT and OneTrainer store it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.rotation import cayley_minus_identity
from lib_lyco.algos.tensor import beside, check_fit, matrix, require, shape_text
from lib_lyco.errors import AdapterError


@dataclass(frozen=True)
class InputOft(Adapter):
    """W' = W Rᵀ on each block of b input columns, R a series in the skew-symmetric Q.

    Qiu et al. 2025, *OFTv2*, arXiv:2506.19847: with t terms

        R = I + 2Q + 2Q² + ... + 2Qᵗ⁻² + Qᵗ⁻¹

    (t = 5 unless the configuration says otherwise), or the exact Cayley transform. The columns are
    those of the weight as a matrix (o, i · ...). One stored block is shared by all. With
    `oft_R.scaled_oft` (OneTrainer) Q is divided by 2√(b - 1). OneTrainer turns the weights of a
    convolution by R where PEFT's merge turns them by Rᵀ; its flag or its metadata tells.
    """

    algo = "oft"
    additive = False

    upper: Tensor
    """(n, b(b-1)/2): Q above its diagonal, row by row; n = 1 is shared"""
    scaled: Tensor | None = None
    """Present: Q is divided."""
    terms: int = 5
    """Terms of the series; 0 is the exact transform."""
    one_trainer: bool = False

    @classmethod
    def decode(cls, parts: Mapping[str, Tensor], hints: Hints) -> InputOft:
        """Builds the adapter from its parts.

        Raises:
            AdapterError: `oft_R.weight` is missing or no triangle has that many elements.
        """
        (upper,) = require(parts, cls.algo, "oft_R.weight")
        if upper.dim() != 2 or _block_size(upper) is None:
            raise AdapterError(
                "oft_R.weight does not hold triangles.",
                where="oft_R.weight",
                got=shape_text(tuple(upper.shape)),
                expected="n x b(b-1)/2",
            )
        scaled = parts.get("oft_R.scaled_oft")
        terms = hints.neumann_terms if hints.cayley_neumann else 0
        return cls(upper, scaled, terms, hints.one_trainer or scaled is not None)

    @property
    def rank(self) -> None:
        return None

    @property
    def scale(self) -> float:
        return 1.0

    @property
    def block_size(self) -> int:
        """b, from the number of elements above the diagonal."""
        size = _block_size(self.upper)
        assert size is not None
        return size

    def tensors(self) -> dict[str, Tensor]:
        flag = {} if self.scaled is None else {"oft_R.scaled_oft": self.scaled}
        return {"oft_R.weight": self.upper, **flag}

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        columns = torch.Size(shape[1:]).numel()
        blocks, rest = divmod(columns, self.block_size)
        if len(shape) >= 2 and rest == 0 and self.upper.shape[0] in (1, blocks):
            return None
        made = f"{self.upper.shape[0]} blocks of {self.block_size} columns"
        return f"it turns {made}, the weight is {shape_text(shape)}"

    def delta(self, weight: Tensor) -> Tensor:
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        change = beside(self._change(), weight)
        if weight.dim() == 2 or not self.one_trainer:
            change = change.transpose(-1, -2)
        columns = matrix(beside(weight, weight))
        blocks = columns.reshape(columns.shape[0], -1, self.block_size)
        turned = torch.einsum("ork,rkc->orc", blocks, change.expand(blocks.shape[1], -1, -1))
        return turned.reshape(weight.shape)

    def _change(self) -> Tensor:
        """R - I, (n, b, b), on the CPU in float64."""
        b = self.block_size
        row, column = torch.triu_indices(b, b, offset=1)
        q = torch.zeros(self.upper.shape[0], b, b, dtype=torch.float64)
        q[:, row, column] = self.upper.detach().cpu().double()
        q = q - q.transpose(-1, -2)
        if self.scaled is not None:
            q = q / (2 * (b - 1) ** 0.5)
        if self.terms == 0:
            # PEFT solves R (I + Q) = I - Q: the inverse of the usual transform, hence -Q.
            return cayley_minus_identity(-q)
        # PEFT's loop starts at four terms once there are more than two.
        terms = max(self.terms, 4) if self.terms > 2 else self.terms
        power, series = torch.eye(b, dtype=q.dtype), torch.zeros_like(q)
        for exponent in range(1, terms):
            power = power @ q
            series = series + (power if exponent == terms - 1 and exponent > 1 else 2 * power)
        return series


def _block_size(upper: Tensor) -> int | None:
    """b with b (b - 1) / 2 elements, or None."""
    elements = upper.shape[-1]
    b = round((1 + (1 + 8 * elements) ** 0.5) / 2)
    return b if b >= 2 and b * (b - 1) // 2 == elements else None
