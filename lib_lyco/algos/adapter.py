"""What every algorithm offers: the change of one layer's weight.

Legend of shapes, project-wide: `o` out, `i` in, `r` rank, `k` kernel, `...` kernel dims,
`b c h w` images.

The multiplier is not an adapter's business: everywhere in this project a network at multiplier
`m` means `W + m (W' - W)`, where `W'` is the trained weight (multiplier 1) and `W' - W` is what
`delta` returns, also for DoRA, OFT and BOFT.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from lib_lyco.algos.operation import operate, weight_of
from lib_lyco.errors import AdapterError


@dataclass(frozen=True)
class LowRank:
    """A delta as a product: `delta = (up @ down).reshape(weight.shape)`, scale included in `up`."""

    up: Tensor
    """(o, r)"""
    down: Tensor
    """(r, i * k * k), flattened like the weight after its first dim"""


class Adapter(ABC):
    """One layer's decoded tensors and their algorithm. Subclasses are frozen dataclasses."""

    algo: str
    """lycoris' `algo=` word where it has one: `lora` (also for LoCon), `loha`, `diag-oft`, ...; an
    adapter around another names both: `lora+dora`."""

    additive: bool = True
    """Whether `delta` depends on the weight's shape only, never on its values."""

    @property
    @abstractmethod
    def rank(self) -> int | None:
        """Inner dimension, or None for an algorithm without one."""

    @property
    @abstractmethod
    def scale(self) -> float:
        """What the product is multiplied by: alpha / rank, or 1."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """The stored tensors by part name, as in the file (`lora_up.weight`, ...)."""

    @abstractmethod
    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Why this adapter cannot act on a weight of `shape`, or None if it can."""

    @abstractmethod
    def delta(self, weight: Tensor) -> Tensor:
        """Returns `W' - W` in float32 (float64 for a float64 weight), on the weight's device.

        `round(W + m * delta)`, summed in float32, is one rounding to the weight's dtype away from
        the exact value, plus at most 8 * 2^-24 of the largest |W| and |m * delta| of the layer.

        Args:
            weight: The original weight, (o, i, ...).

        Raises:
            AdapterError: The adapter does not fit the weight.
        """

    def add_delta(self, total: Tensor, weight: Tensor, multiplier: float) -> None:
        """Adds `multiplier * delta(weight)` to `total`.

        Unless an algorithm knows a way that needs no memory of the weight's size, the delta is formed.

        Args:
            total: (o, i, ...) in the dtype that deltas are computed in, in row-major order.
            weight: As for `delta`; another tensor than `total`.

        Raises:
            AdapterError: As for `delta`.
        """
        total.add_(self.delta(weight), alpha=multiplier)

    @property
    def merges_as_product(self) -> bool:
        """Whether a merge takes the factors of `low_rank`, where there are any, or else `add_delta`."""
        return True

    @property
    def changes_weight(self) -> bool:
        """Whether there is a delta; False for an adapter of the bias alone."""
        return True

    def bias_delta(self, bias: Tensor | None) -> Tensor | None:
        """Returns `b' - b` with shape (o,), or None where the bias stays (a missing bias is 0)."""
        del bias
        return None

    def low_rank(self) -> LowRank | None:
        """The delta as two factors where that is cheaper than the delta itself, else None."""
        return None

    def bypass(self, x: Tensor, layer: nn.Module) -> Tensor:
        """Returns what an additive adapter adds to `layer(x)`, bias included, weight left alone.

        Unless an algorithm knows a cheaper form, this runs the layer's operation with the delta.

        Args:
            x: The layer's input, (b, ..., i) for linear, (b, i, h, w) for conv.
            layer: The Linear or Conv module, for stride, padding, dilation and groups.

        Raises:
            AdapterError: The adapter is not additive.
        """
        self.check_additive()
        bias = self.bias_delta(None)
        return operate(
            x,
            layer,
            self.delta(weight_of(layer)).to(x.dtype),
            None if bias is None else bias.to(x),
        )

    def check_additive(self) -> None:
        """Raises AdapterError for an adapter that can only be merged."""
        if not self.additive:
            raise AdapterError(
                f"A {self.algo} adapter changes the weight depending on the weight itself.",
                expected="an additive algorithm",
                remedy="Merge it instead of bypassing it.",
            )

    def truncated(self, rank: int) -> Adapter:
        """The same adapter at a smaller rank (`dyn` in tags); itself where that has no meaning."""
        del rank
        return self
