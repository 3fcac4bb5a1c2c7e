"""The one number that a product of factors is multiplied by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_lyco.algos.hints import Hints
from lib_lyco.algos.tensor import check_number, number


@dataclass(frozen=True)
class Scaling:
    """alpha / rank, unless the file says otherwise.

    * A missing alpha means 1, as in every reader.
    * A stored alpha of 0 means no effect. Trainers read `alpha=0` in their *options* as alpha = rank
      and then store the rank; a 0 that made it into a file is applied as 0 by the host's builtin,
      Forge and sd-scripts' merge tools.
    * rs-LoRA (Kalajdzievski 2023, arXiv:2312.03732) needs no rule of its own: LyCORIS stores
      alpha * sqrt(rank), so that alpha / rank is right. Only GLoRA stores the raw alpha.
    * A stored `scale` overrides alpha / rank (the host's builtin reads it; no writer is known).
    """

    alpha: Tensor | None = None
    """() or (1,), any dtype"""
    override: Tensor | None = None
    """The part `scale`, () or (1,)"""

    @classmethod
    def decode(cls, parts: Mapping[str, Tensor], hints: Hints, rank: int | None) -> Scaling:
        """Takes `alpha` and `scale`; where neither is stored, the alpha of PEFT's configuration.

        PEFT keeps the raw alpha and divides it by √rank under rs-LoRA, so it becomes what LyCORIS
        would have stored: alpha · √rank.

        Raises:
            AdapterError: alpha or scale is not a single number.
        """
        scaling = cls(alpha=parts.get("alpha"), override=parts.get("scale"))
        for part, tensor in scaling.tensors().items():
            check_number(tensor, part)
        if scaling.tensors() or hints.alpha is None:
            return scaling
        raised = (rank or 1) ** 0.5 if hints.rs_lora else 1.0
        return cls(alpha=torch.tensor(hints.alpha * raised, dtype=torch.float64))

    def over(self, rank: int | None) -> float:
        """Returns the scale for an inner dimension; 1 for an algorithm without one."""
        if self.override is not None:
            return number(self.override)
        if self.alpha is None or rank is None:
            return 1.0
        return number(self.alpha) / rank

    def kept(self, rank: int, new_rank: int) -> Scaling:
        """Returns a scaling that is at `new_rank` what this one is at `rank`."""
        if self.alpha is None or self.override is not None:
            return self
        return Scaling(alpha=torch.tensor(number(self.alpha) * new_rank / rank, dtype=torch.float64))

    def tensors(self) -> dict[str, Tensor]:
        """The stored parts."""
        stored = {"alpha": self.alpha, "scale": self.override}
        return {part: tensor for part, tensor in stored.items() if tensor is not None}
