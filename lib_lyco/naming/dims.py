"""What the shapes of an adapter's tensors say about the weight it was made for.

Only names and shapes are read, so this works from a file's header. Shapes per algorithm: LyCORIS'
module classes, PEFT's tuners (`lora`, `oft`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isqrt, prod

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
"""Canonical part -> shape."""


@dataclass(frozen=True)
class Dims:
    """The dims of a weight as far as known; 0 for unknown."""

    out: int = 0
    into: int = 0
    """The input channels, or input channels times kernel where a factor is stored flattened."""

    def fits(self, shape: Shape) -> bool | None:
        """Whether a weight of `shape` can be the one; None if nothing is known."""
        if not (self.out or self.into):
            return None
        if self.out and self.out != shape[0]:
            return False
        width = shape[1:] or shape
        return not self.into or self.into in (width[0], prod(width))


def layer_dims(parts: Shapes) -> Dims:
    """The weight's dims by the first rule that the parts satisfy; unknown dims for foreign parts."""
    for needed, read in _RULES:
        if all(part in parts and len(parts[part]) >= rank for part, rank in needed.items()):
            return read(parts)
    return Dims()


def _kronecker(parts: Shapes) -> Dims:
    left, right = _factor(parts, 1), _factor(parts, 2)
    return Dims(left[0] * right[0], left[1] * right[1])


def _factor(parts: Shapes, number: int) -> tuple[int, int]:
    """Rows and columns of one Kronecker factor, whole or split; zeros if neither is there."""
    whole = parts.get(f"lokr_w{number}", ())
    if len(whole) >= 2:
        return whole[0], whole[1]
    up, down = parts.get(f"lokr_w{number}_a", ()), parts.get(f"lokr_w{number}_b", ())
    if len(up) < 2 or len(down) < 2:
        return 0, 0
    return up[1 if f"lokr_t{number}" in parts else 0], down[1]


def _glora(parts: Shapes) -> Dims:
    # the two layouts have the same shapes transposed; a rank is smaller than the dims it joins
    return Dims(max(parts["b1.weight"][0], parts["b2.weight"][0]), max(parts["a1.weight"][:2]))


def _oft_v2(parts: Shapes) -> Dims:
    num_blocks, num_values = parts["oft_R.weight"][:2]
    size = (1 + isqrt(1 + 8 * num_values)) // 2  # b (b - 1) / 2 values make a skew-symmetric b x b
    return Dims(into=num_blocks * size)


def _two_factors(up: str, down: str) -> Callable[[Shapes], Dims]:
    return lambda parts: Dims(parts[up][0], parts[down][1])


def _weight_like(part: str) -> Callable[[Shapes], Dims]:
    return lambda parts: Dims(*parts[part][:2])


_RULES: tuple[tuple[dict[str, int], Callable[[Shapes], Dims]], ...] = (
    ({"lora_up.weight": 2, "lora_down.weight": 2}, _two_factors("lora_up.weight", "lora_down.weight")),
    ({"hada_t1": 3, "hada_w1_a": 2, "hada_w1_b": 2}, lambda p: Dims(p["hada_w1_a"][1], p["hada_w1_b"][1])),
    ({"hada_w1_a": 2, "hada_w1_b": 2}, _two_factors("hada_w1_a", "hada_w1_b")),
    ({"lokr_w1": 2}, _kronecker),
    ({"lokr_w1_a": 2}, _kronecker),
    ({"a1.weight": 2, "b1.weight": 2, "b2.weight": 2}, _glora),
    ({"p_layer.weight": 2, "q_layer.weight": 2}, _two_factors("p_layer.weight", "q_layer.weight")),
    ({"oft_R.weight": 2}, _oft_v2),
    ({"diff": 1}, _weight_like("diff")),
    ({"w_norm": 1}, _weight_like("w_norm")),
    ({"oft_blocks": 4}, lambda p: Dims(p["oft_blocks"][1] * p["oft_blocks"][2])),
    ({"oft_blocks": 3}, lambda p: Dims(p["oft_blocks"][0] * p["oft_blocks"][1])),
    ({"oft_diag": 3}, lambda p: Dims(p["oft_diag"][0] * p["oft_diag"][1])),
    ({"lora_down.weight": 2}, lambda p: Dims(into=p["lora_down.weight"][1])),
    ({"diff_b": 1}, lambda p: Dims(p["diff_b"][0])),
)
