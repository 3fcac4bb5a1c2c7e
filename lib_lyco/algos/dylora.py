"""DyLoRA: a LoRA trained to be cut at any rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from lib_lyco.algos.adapter import Adapter, LowRank
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.lora import Lora
from lib_lyco.algos.scaling import Scaling

Convention = Literal["kohya", "lycoris", "folded"]


@dataclass(frozen=True)
class DyLora(Adapter):
    """W' = W + s(n) · up[:, :n]·down[:n] at each trained sub-rank n, a multiple of `step`.

    Valipour et al. 2022, *DyLoRA*, arXiv:2210.07558. What was trained at sub-rank n depends on the
    trainer:

        sd-scripts  s(n) = alpha / r · √(r / n)      (so n = r is plain LoRA)
        LyCORIS     s(n) = alpha / (n / step)        (so n = r is `step` times plain LoRA)
        ours        s(n) = alpha / n                 (LyCORIS' rule, `step` folded into alpha, so
                                                      that any reader is right at n = r)

    The files have LoRA's keys and nothing else; only metadata tells them apart, and without it
    they are read as LoRA. A rank in between trained ones is rounded down to one (up to the first).
    """

    algo = "dylora"

    lora: Lora
    """All r ranks, as stored."""
    convention: Convention
    step: int
    """kohya's `unit`, LyCORIS' and our `block_size`."""
    active: int
    """The sub-rank in use, n."""

    @classmethod
    def decode(cls, parts: Mapping[str, Tensor], hints: Hints) -> Adapter:
        """Builds the adapter from LoRA's parts; a LoRA where the metadata does not say DyLoRA.

        Raises:
            AdapterError: A factor is missing, or the factors do not fit each other.
        """
        lora = Lora.decode(parts, hints)
        if lora.mid is not None or lora.scaling.override is not None:
            return lora
        if hints.is_kohya_dylora:
            return cls(lora, "kohya", hints.unit, lora.rank)
        if hints.folded_block_size is not None:
            return cls(lora, "folded", hints.folded_block_size, lora.rank)
        if hints.is_lycoris_dylora:
            return cls(lora, "lycoris", hints.block_size, lora.rank)
        return lora

    @property
    def rank(self) -> int:
        return self.active

    @property
    def scale(self) -> float:
        plain, full = self.lora.scale, self.lora.rank
        if self.lora.scaling.alpha is None:
            return plain
        if self.convention == "kohya":
            return plain * (full / self.active) ** 0.5
        folded = 1 if self.convention == "folded" else self.step
        return plain * folded * full / self.active

    def tensors(self) -> dict[str, Tensor]:
        return self.lora.tensors()

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        return self.lora.misfit(shape)

    def delta(self, weight: Tensor) -> Tensor:
        return self.as_lora().delta(weight)

    def low_rank(self) -> LowRank:
        return self.as_lora().low_rank()

    def bypass(self, x: Tensor, layer: nn.Module) -> Tensor:
        return self.as_lora().bypass(x, layer)

    def truncated(self, rank: int) -> DyLora:
        """The largest trained sub-rank up to `rank`, at the scale it was trained with."""
        trained = max(self.step, rank // self.step * self.step)
        return replace(self, active=min(trained, self.active))

    def as_lora(self) -> Lora:
        """The plain LoRA that the sub-rank in use is."""
        cut = self.lora.truncated(self.active)
        return replace(
            cut, scaling=Scaling(alpha=torch.tensor(self.scale * self.active, dtype=torch.float64))
        )
