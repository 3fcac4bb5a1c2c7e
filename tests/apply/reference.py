"""Deltas written out in float64 from the published formulas, sharing nothing with the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def reference_delta(algo: str, parts: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """Returns W' - W in float64; W is (o, i, ...) in any dtype."""
    wide = weight.detach().double()
    p = {part: tensor.double() for part, tensor in parts.items()}
    shape = wide.shape
    if algo in ("lora", "dora"):
        rank = p["lora_down.weight"].shape[0]
        product = p["lora_up.weight"].flatten(1) @ p["lora_down.weight"].flatten(1)
        delta = product.reshape(shape) * (p["alpha"] / rank)
        if algo == "lora":
            return delta
        trained = wide + delta
        norm = trained.flatten(1).norm(dim=1).reshape(-1, *[1] * (wide.dim() - 1))
        return trained * p["dora_scale"] / norm - wide
    if algo.startswith("loha"):
        halves = [p[f"hada_w{half}_a"] @ p[f"hada_w{half}_b"] for half in (1, 2)]
        scale = p["alpha"] / p["hada_w1_b"].shape[0]
        return (halves[0] * halves[1]).reshape(shape) * scale
    if algo == "lokr":
        small, large = p["lokr_w1"], p["lokr_w2"]
        return torch.kron(small.reshape(*small.shape, *[1] * (large.dim() - 2)), large)
    if algo == "full":
        return p["diff"]
    if algo == "norm":
        return p["w_norm"]
    assert algo == "ia3", algo
    return wide * p["weight"].reshape(-1, *[1] * (wide.dim() - 1))


def assert_rounded_once(merged: Tensor, exact: Tensor, magnitudes: Sequence[Tensor]) -> None:
    """`merged` is `exact` rounded once to its dtype, the sum itself having float32's error.

    Args:
        merged: What the library made.
        exact: The same in float64.
        magnitudes: The summands, whose size bounds the error of a float32 sum.
    """
    if merged.dtype == torch.float64:
        sum_error = torch.finfo(torch.float64).eps * sum(part.abs() for part in magnitudes) * 64
    else:
        sum_error = torch.finfo(torch.float32).eps * sum(part.abs() for part in magnitudes) * 8
    half_ulp = exact.abs() * torch.finfo(merged.dtype).eps / 2 + torch.finfo(merged.dtype).tiny
    error = (merged.double() - exact).abs()
    excess = error - half_ulp - sum_error
    assert bool((excess <= 0).all()), f"{float(excess.max())} beyond one rounding"
