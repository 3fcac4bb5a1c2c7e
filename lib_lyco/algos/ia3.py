"""IA3: the input or output channels of a layer, scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.tensor import beside, check_fit, check_number, number, require, shape_text


@dataclass(frozen=True)
class Ia3(Adapter):
    """W' = W · (1 + w), along the input channels if `on_input`, else along the output channels.

    Liu et al. 2022, *T-Few*, arXiv:2205.05638, §3.3, as LyCORIS stores it: w starts at 0, there is
    no alpha. **Bias.** LyCORIS 3 and newer trains with the weight scaled and the bias left alone;
    with `bypass_mode`, and before version 3, it scaled the layer's output, the bias with it. The
    metadata says which (`Hints.bypass_mode`, the training date); without it the bias stays. It
    matters for CLIP's k and v, the UNet's have no bias.
    """

    algo = "ia3"
    additive = False

    weight: Tensor
    """(c,) for linear, (1, c, 1, 1) for conv"""
    on_input: Tensor
    """() 0 or 1, any dtype"""
    output_scaled: bool = False
    """Whether training scaled the layer's output, bias and all."""

    @classmethod
    def decode(cls, parts: Mapping[str, Tensor], hints: Hints) -> Ia3:
        """Builds the adapter from its parts.

        Raises:
            AdapterError: A part is missing or `on_input` is not a number.
        """
        weight, on_input = require(parts, cls.algo, "weight", "on_input", dims=0)
        check_number(on_input, "on_input")
        return cls(weight, on_input, hints.bypass_mode or hints.before_lycoris_3)

    @property
    def rank(self) -> None:
        return None

    @property
    def scale(self) -> float:
        return 1.0

    def tensors(self) -> dict[str, Tensor]:
        return {"weight": self.weight, "on_input": self.on_input}

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        return _misfit(self.weight, shape, self._axis)

    def delta(self, weight: Tensor) -> Tensor:
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        return _scaled(weight, beside(self.weight, weight), self._axis)

    def bias_delta(self, bias: Tensor | None) -> Tensor | None:
        if bias is None or not self.output_scaled or self._axis == 1:
            return None
        return beside(bias, bias) * beside(self.weight, bias).reshape(-1)

    @property
    def _axis(self) -> int:
        return 1 if number(self.on_input) else 0


@dataclass(frozen=True)
class PeftIa3(Adapter):
    """W' = W · l, b' = b · l on the output side, W' = W · l on the input side.

    The same method as PEFT stores it (peft/tuners/ia3/layer.py): l starts at 1 and the bias is
    scaled with the output. On a Linear the shape of l says the side; on a convolution it does not,
    there l is taken for the output's if it has the output's size.
    """

    algo = "ia3"
    additive = False

    l: Tensor  # noqa: E741 - the paper's name
    """(1, i) or (o, 1) for linear, (1, c, 1, 1) for conv"""

    @classmethod
    def decode(cls, parts: Mapping[str, Tensor], hints: Hints) -> PeftIa3:
        """Builds the adapter from `ia3_l`.

        Raises:
            AdapterError: It is missing.
        """
        del hints
        return cls(*require(parts, cls.algo, "ia3_l", dims=1))

    @property
    def rank(self) -> None:
        return None

    @property
    def scale(self) -> float:
        return 1.0

    def tensors(self) -> dict[str, Tensor]:
        return {"ia3_l": self.l}

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        return _misfit(self.l, shape, self._axis(shape))

    def delta(self, weight: Tensor) -> Tensor:
        check_fit(self.misfit(tuple(weight.shape)), self.algo)
        return _scaled(weight, beside(self.l, weight) - 1, self._axis(tuple(weight.shape)))

    def bias_delta(self, bias: Tensor | None) -> Tensor | None:
        if bias is None or self._axis(tuple(bias.shape)) == 1:
            return None
        return beside(bias, bias) * (beside(self.l, bias).reshape(-1) - 1)

    def _axis(self, shape: tuple[int, ...]) -> int:
        if self.l.dim() == 2:
            return 0 if self.l.shape[1] == 1 else 1
        return 0 if self.l.numel() == shape[0] else 1


def _misfit(scale: Tensor, shape: tuple[int, ...], axis: int) -> str | None:
    if len(shape) > axis and shape[axis] == scale.numel():
        return None
    side = ("output", "input")[axis]
    return f"it scales {scale.numel()} {side} channels, the weight is {shape_text(shape)}"


def _scaled(weight: Tensor, scale: Tensor, axis: int) -> Tensor:
    """weight * scale along an axis, in the dtype of deltas."""
    dims = [1] * weight.dim()
    dims[axis] = -1
    return beside(weight, weight) * scale.reshape(dims)
