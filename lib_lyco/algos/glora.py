"""GLoRA: a low-rank change plus one that is taken from the weight itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.scaling import Scaling
from lib_lyco.algos.tensor import beside, check_fit, matrix, require, shape_text
from lib_lyco.errors import AdapterError

_FACTORS = ("a1.weight", "a2.weight", "b1.weight", "b2.weight")


@dataclass(frozen=True)
class GLora(Adapter):
    """W' = W + s · (b_up·b_down + W·a_left·a_right), s = alpha / r.

    Chavan et al. 2023, *One-for-All: GLoRA*, arXiv:2306.07967, eq. 10 without its vectors, in the
    two layouts LyCORIS has stored:

        LyCORIS 3 (2024-05):  b1 (o, r), b2 (r, i, ...), a1 (i, r), a2 (r, i):  b1·b2 + W·a1·a2
        before:               b2 (o, r), b1 (r, i, ...), a2 (i, r), a1 (r, i):  b2·b1 + W·a2·a1

    In a convolution W·a contracts the input channels. Shapes tell the layouts apart; where both
    fit (a square weight) the one of lower rank is meant, and with r = i = o the training date
    decides, or without one the newer is taken.

    Unlike its other algorithms LyCORIS stores GLoRA's raw alpha with rs-LoRA, so there s = alpha / √r.
    LyCORIS before 3 trained with s² and merged with s: such a file has no single right answer
    unless alpha = r; merging's s is taken.
    """

    algo = "glora"
    additive = False

    a1: Tensor
    a2: Tensor
    b1: Tensor
    b2: Tensor
    old: bool = False
    """Whether the layout is the one before LyCORIS 3."""
    rs_lora: bool = False
    scaling: Scaling = field(default_factory=Scaling)

    @classmethod
    def decode(cls, parts: Mapping[str, Tensor], hints: Hints) -> GLora:
        """Builds the adapter from its parts.

        Raises:
            AdapterError: A factor is missing, or the factors fit each other in neither layout.
        """
        a1, a2, b1, b2 = require(parts, cls.algo, *_FACTORS)
        new_fits = _fits(b1, b2, a1, a2)
        old_fits = _fits(b2, b1, a2, a1)
        if not new_fits and not old_fits:
            shapes = (f"{part} {shape_text(tuple(parts[part].shape))}" for part in _FACTORS)
            raise AdapterError(
                "The factors of a glora layer do not fit each other in either layout.",
                got=", ".join(shapes),
                remedy="The file is damaged or of an unknown kind.",
            )
        old = old_fits and not new_fits
        if old_fits and new_fits:
            # A square weight. Read the wrong way, the factors are a small product of high rank.
            ranks = a1.shape[0], a2.shape[0]
            old = ranks[0] < ranks[1] or (ranks[0] == ranks[1] and hints.before_lycoris_3)
        return cls(a1, a2, b1, b2, old, hints.rs_lora, Scaling.decode(parts, hints, None))

    @property
    def rank(self) -> int:
        return self._in_order()[1].shape[0]

    @property
    def scale(self) -> float:
        plain = self.scaling.over(self.rank)
        if not self.rs_lora or self.scaling.alpha is None or self.scaling.override is not None:
            return plain
        return plain * self.rank**0.5

    def tensors(self) -> dict[str, Tensor]:
        factors = zip(_FACTORS, (self.a1, self.a2, self.b1, self.b2), strict=True)
        return {**dict(factors), **self.scaling.tensors()}

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        b_up, b_down, _, a_right = self._in_order()
        rows, columns, channels = b_up.shape[0], matrix(b_down).shape[1], matrix(a_right).shape[1]
        if len(shape) >= 2 and (rows, channels) == shape[:2] and columns == torch.Size(shape[1:]).numel():
            return None
        return (
            f"the factors make {rows}x{columns} over {channels} channels, the weight is {shape_text(shape)}"
        )

    def delta(self, weight: Tensor) -> Tensor:
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        b_up, b_down, a_left, a_right = (matrix(beside(factor, weight)) for factor in self._in_order())
        own = torch.einsum("oi...,ir,rj->oj...", beside(weight, weight), a_left, a_right)
        return ((b_up @ b_down).reshape(weight.shape) + own) * self.scale

    def _in_order(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """b (o, r), b (r, i, ...), a (i, r), a (r, i) of either layout."""
        if self.old:
            return self.b2, self.b1, self.a2, self.a1
        return self.b1, self.b2, self.a1, self.a2


def _fits(b_up: Tensor, b_down: Tensor, a_left: Tensor, a_right: Tensor) -> bool:
    rank = a_right.shape[0]
    return (
        rank > 0
        and matrix(b_up).shape[1] == rank == b_down.shape[0]
        and matrix(a_left).shape == (matrix(a_right).shape[1], rank)
        and b_down.dim() >= 2
        and matrix(b_down).shape[1] % a_left.shape[0] == 0
    )
