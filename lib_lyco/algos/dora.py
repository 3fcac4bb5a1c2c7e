"""DoRA: a learned magnitude around LoRA, LoHa or LoKr."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.tensor import beside, check_fit, shape_text


@dataclass(frozen=True)
class Dora(Adapter):
    """W' = V · d / ‖V‖ with V = W + ΔW, the norm taken per output row or per input column.

    Liu et al. 2024, *DoRA*, arXiv:2402.09353, eq. 5. The magnitude's shape says the axis: (o, 1)
    norms rows (LyCORIS since 3.2.0, PEFT, ai-toolkit), (1, i) norms columns (LyCORIS before,
    OneTrainer); for a convolution a row is (i, ...), a column (o, ...). The position of the long
    dim counts, so square layers are no exception. PEFT and ai-toolkit keep the magnitude under
    another name as (o,) or (1, o, 1, 1), always rows. Where a (1, c, ...) magnitude fits only the
    rows, rows are meant.

    The norm is V's, on either axis, as in training (ComfyUI and Forge take W's for rows). The few
    LyCORIS development versions of early 2024 that took the mean instead are not told apart.
    """

    additive = False

    inner: Adapter
    """Makes ΔW."""
    magnitude: Tensor
    """(o, 1[, 1, 1]), (1, i[, 1, 1]), (o,) or (1, o, 1, 1)"""
    part: str = "dora_scale"
    """`dora_scale`, or PEFT's `lora_magnitude_vector`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "algo", f"{self.inner.algo}+dora")

    @property
    def rank(self) -> int | None:
        return self.inner.rank

    @property
    def scale(self) -> float:
        return self.inner.scale

    def tensors(self) -> dict[str, Tensor]:
        return {**self.inner.tensors(), self.part: self.magnitude}

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        reason = self.inner.misfit(shape)
        if reason is None and self.magnitude.numel() != shape[self._axis(shape)]:
            stored = shape_text(tuple(self.magnitude.shape))
            return f"{self.part} is {stored}, the weight is {shape_text(shape)}"
        return reason

    def delta(self, weight: Tensor) -> Tensor:
        shape = tuple(weight.shape)
        check_fit(self.misfit(shape), self.algo)
        axis = self._axis(shape)
        change = self.inner.delta(weight)
        trained = beside(weight, weight) + change
        # Numbers side by side are summed in pairs; a strided sum loses a digit over a long column.
        lines = trained.transpose(0, axis).flatten(1).contiguous()
        sizes = [size if dim == axis else 1 for dim, size in enumerate(shape)]
        norm = torch.linalg.vector_norm(lines, dim=1).reshape(sizes)
        factor = beside(self.magnitude, weight).reshape(sizes) / norm
        # A zero row has no direction to scale; it stays 0.
        factor = torch.where(norm == 0, torch.ones_like(factor), factor)
        return change + trained * (factor - 1)

    def bias_delta(self, bias: Tensor | None) -> Tensor | None:
        return self.inner.bias_delta(bias)

    def truncated(self, rank: int) -> Dora:
        return Dora(self.inner.truncated(rank), self.magnitude, self.part)

    def _axis(self, shape: tuple[int, ...]) -> int:
        """The dim of the weight that keeps its size in the norm: 0 rows, 1 columns."""
        stored = self.magnitude.shape
        in_columns = len(stored) > 1 and stored[0] == 1 and stored[1] > 1
        if not in_columns or self.part != "dora_scale":
            return 0
        only_rows = stored[1] == shape[0] and stored[1] != shape[1]
        return 0 if only_rows else 1
