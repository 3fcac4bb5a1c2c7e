"""LoRA and LoCon, with and without a Tucker core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from lib_lyco.algos.adapter import Adapter, LowRank
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.operation import two_stage
from lib_lyco.algos.scaling import Scaling
from lib_lyco.algos.tensor import beside, check_fit, check_inner, matrix, optional, require, shape_text


@dataclass(frozen=True)
class Lora(Adapter):
    """W' = W + s · up·down, s = alpha / r.

    Hu et al. 2021, *LoRA*, arXiv:2106.09685, eq. 3; for convolutions LoCon (LyCORIS, Yeh et al.
    2023, arXiv:2309.14859, §3.1): `down` is the k×k convolution and carries stride and padding,
    `up` is pointwise. With a Tucker core (CP in LyCORIS' options), where `down` is pointwise and
    `mid` has the kernel:

        ΔW[o, i, ...] = s · Σ_mn up[o, m] · mid[m, n, ...] · down[n, i]

    Factors are stored with two dims or with the conv's; both are read on any layer, since only
    the product has to have the weight's size (SDXL's `proj_in` is Linear, SD1's is a 1×1 conv, and
    LyCORIS' DyLoRA stores `up` with two dims beside a `down` with four).
    """

    algo = "lora"

    up: Tensor
    """(o, r[, 1, 1])"""
    down: Tensor
    """(r, i[, ...]); (r, i[, 1, 1]) with a core"""
    mid: Tensor | None = None
    """(r, r, ...)"""
    scaling: Scaling = field(default_factory=Scaling)

    @classmethod
    def decode(cls, parts: Mapping[str, Tensor], hints: Hints) -> Lora:
        """Builds the adapter from its parts.

        Raises:
            AdapterError: A factor is missing, or the factors do not fit each other.
        """
        up, down = require(parts, cls.algo, "lora_up.weight", "lora_down.weight")
        mid = optional(parts, cls.algo, "lora_mid.weight")
        names = ("lora_up.weight", "lora_down.weight")
        if mid is None:
            check_inner(cls.algo, names, (matrix(up).shape[1], down.shape[0]))
        else:
            check_inner(cls.algo, (names[0], "lora_mid.weight"), (matrix(up).shape[1], mid.shape[0]))
            check_inner(cls.algo, ("lora_mid.weight", names[1]), (mid.shape[1], down.shape[0]))
        return cls(up=up, down=down, mid=mid, scaling=Scaling.decode(parts, hints, down.shape[0]))

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        return self.scaling.over(self.rank)

    def tensors(self) -> dict[str, Tensor]:
        core = {} if self.mid is None else {"lora_mid.weight": self.mid}
        return {
            "lora_up.weight": self.up,
            "lora_down.weight": self.down,
            **core,
            **self.scaling.tensors(),
        }

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        rows, columns = self.up.shape[0], matrix(self.down).shape[1]
        if self.mid is not None:
            columns *= self.mid.shape[2:].numel()
        if len(shape) >= 2 and rows == shape[0] and columns == torch.Size(shape[1:]).numel():
            return None
        return f"the factors make {rows}x{columns}, the weight is {shape_text(shape)}"

    def delta(self, weight: Tensor) -> Tensor:
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        up, down = self._factors(weight)
        return (up @ down).reshape(weight.shape)

    def low_rank(self) -> LowRank:
        up, down = self._factors(self.up)
        return LowRank(up=up, down=down)

    def bypass(self, x: Tensor, layer: nn.Module) -> Tensor:
        up, down = self._factors(x)
        return two_stage(x, layer, up.to(x.dtype), down.to(x.dtype))

    def truncated(self, rank: int) -> Lora:
        """The first `rank` rows of `down` and columns of `up`, at the same scale alpha / r."""
        if not 1 <= rank < self.rank:
            return self
        return replace(
            self,
            up=self.up[:, :rank],
            down=self.down[:rank],
            mid=None if self.mid is None else self.mid[:rank, :rank],
            scaling=self.scaling.kept(self.rank, rank),
        )

    def _factors(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (o, r) with the scale in it and (r, i * ...) with the core in it."""
        up, down = matrix(beside(self.up, like)), matrix(beside(self.down, like))
        if self.mid is not None:
            down = matrix(torch.einsum("mn...,ni->mi...", beside(self.mid, like), down))
        return up * self.scale, down
