"""How exact a merged weight is, against the same formula in float64.

The statement, for every algorithm and multiplier m: with W' = round(W + m · delta), the sum taken
in float32,

    |W' - exact| <= 1/2 ulp(exact) + 8 · 2^-24 · (max|W| + |m| · max|delta|)

that is one rounding to the weight's dtype, plus what float32 arithmetic can lose beside the largest
number of the layer. For fp16 and bf16 weights the second term is at most 2^-9 of a rounding of that
number, so what remains is the one rounding; for float32 it is of the order of the rounding itself,
and no bound on single elements alone can hold, because a sum of products loses what cancels in it.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lib_lyco.algos.hints import Hints
from lib_lyco.algos.registry import decode
from tests.algos.samples import ALL, lora
from tests.oracles.layers import noise

SHAPES = ((48, 36), (48, 36, 1, 1), (48, 36, 3, 3))
MULTIPLIERS = (-1.0, 0.0, 0.5, 1.0, 2.0)


def ulp(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The spacing of `dtype` at x."""
    info = torch.finfo(dtype)
    exponent = torch.floor(torch.log2(x.abs().clamp_min(info.tiny)))
    return torch.exp2(exponent) * info.eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(ALL))
def test_merged_weight_is_one_rounding_from_exact(name: str, dtype: torch.dtype) -> None:
    for shape in SHAPES:
        adapter = decode(ALL[name](shape, 4, 0), Hints()).adapter
        weight = noise(*shape, seed=77, scale=0.05, dtype=dtype)
        delta, exact_delta = adapter.delta(weight), adapter.delta(weight.double())
        assert delta.dtype == torch.float32 and exact_delta.dtype == torch.float64
        for multiplier in MULTIPLIERS:
            merged = (weight.float() + multiplier * delta).to(dtype).double()
            exact = weight.double() + multiplier * exact_delta
            largest = weight.double().abs().max() + abs(multiplier) * exact_delta.abs().max()
            bound = ulp(exact, dtype) / 2 + 8 * 2**-24 * largest
            assert bool(((merged - exact).abs() <= bound).all())


@pytest.mark.parametrize("name", ["dora", "dora_columns", "tlora"])
def test_so_it_is_on_a_layer_of_real_size(name: str) -> None:
    """Norms of thousands of numbers, and a decomposition."""
    shape = (648, 648) if name == "tlora" else (648, 648, 3, 3)
    weight = noise(*shape, seed=77, scale=0.03)
    parts = _tlora(shape) if name == "tlora" else ALL[name](shape, 4, 3)
    adapter = decode(parts, Hints()).adapter
    delta, exact = adapter.delta(weight), adapter.delta(weight.double())
    bound = 8 * 2**-24 * (weight.abs().max() + exact.abs().max())
    assert float((delta - exact).abs().max()) <= float(bound)


def _tlora(shape: tuple[int, ...]) -> dict[str, Tensor]:
    o, i = shape
    sizes = {"p_layer.weight": (o, 4), "q_layer.weight": (4, i), "lambda_layer": (1, 4)}
    return {part: noise(*size, seed=3, scale=0.1) for part, size in sizes.items()}


def test_lora_in_float32_keeps_the_classic_bound_on_each_element() -> None:
    """Higham 2002, eq. 3.5: a dot product of r terms is off by at most gamma_r of its terms' sizes."""
    rank = 32
    for seed in range(5):
        parts = lora((48, 36), rank, seed)
        adapter = decode(parts, Hints()).adapter
        weight = noise(48, 36, seed=seed, scale=0.05)
        exact = weight.double() + adapter.delta(weight.double())
        sizes = parts["lora_up.weight"].double().abs() @ parts["lora_down.weight"].double().abs()
        bound = ulp(exact, torch.float32) / 2 + (rank + 2) * 2**-24 * adapter.scale * sizes
        merged = (weight + adapter.delta(weight)).double()
        assert bool(((merged - exact).abs() <= bound).all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(ALL))
def test_half_precision_files_are_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    shape = (48, 36, 3, 3)
    stored = {part: tensor.to(dtype) for part, tensor in ALL[name](shape, 4, 0).items()}
    widened = {part: tensor.float() for part, tensor in stored.items()}
    weight = noise(*shape, seed=77, scale=0.05)
    got = decode(stored, Hints()).adapter.delta(weight)
    assert torch.equal(got, decode(widened, Hints()).adapter.delta(weight))


@pytest.mark.parametrize("name", sorted(ALL))
def test_the_weight_and_the_stored_tensors_are_left_alone(name: str) -> None:
    shape = (48, 36, 3, 3)
    parts = ALL[name](shape, 4, 0)
    before = {part: tensor.clone() for part, tensor in parts.items()}
    weight = noise(*shape, seed=77)
    adapter = decode(parts, Hints()).adapter
    adapter.delta(weight)
    adapter.truncated(2)
    adapter.low_rank()
    assert torch.equal(weight, noise(*shape, seed=77))
    assert all(torch.equal(parts[part], before[part]) for part in parts)
