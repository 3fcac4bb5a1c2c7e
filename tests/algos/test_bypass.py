"""Merge and bypass are the same change of the output, for every additive algorithm and layer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lib_lyco.algos.hints import Hints
from lib_lyco.algos.registry import decode
from lib_lyco.errors import AdapterError
from tests.algos.samples import ADDITIVE, ALL, WEIGHT_DEPENDENT, Make, loha, lora
from tests.oracles.layers import LayerCase, linear, noise
from tests.oracles.trained import trained_change


@st.composite
def layers(draw: st.DrawFn) -> nn.Linear | nn.Conv1d | nn.Conv2d:
    """Linear and convolutions of every stride, padding, dilation, grouping and padding mode."""
    o, i = draw(st.sampled_from([12, 24])), draw(st.sampled_from([6, 12]))
    bias = draw(st.booleans())
    kind = draw(st.sampled_from(["linear", "conv1d", "conv2d"]))
    if kind == "linear":
        return nn.Linear(i, o, bias=bias)
    groups = draw(st.sampled_from([1, 2]))
    conv = nn.Conv1d if kind == "conv1d" else nn.Conv2d
    return conv(
        i * groups,
        o,
        kernel_size=draw(st.sampled_from([1, 3])),
        stride=draw(st.sampled_from([1, 2])),
        padding=draw(st.sampled_from([0, 1, 2])),
        dilation=draw(st.sampled_from([1, 2])),
        groups=groups,
        bias=bias,
        padding_mode=draw(st.sampled_from(["zeros", "circular", "reflect"])),
    )


def input_of(layer: nn.Module, seed: int) -> torch.Tensor:
    """An input with two rows that fits the layer."""
    if isinstance(layer, nn.Linear):
        return noise(2, 3, layer.in_features, seed=seed)
    assert isinstance(layer, (nn.Conv1d, nn.Conv2d))
    return noise(2, layer.in_channels, *[7, 6][: layer.weight.dim() - 2], seed=seed)


@settings(max_examples=150, deadline=None)
@given(
    layer=layers(), name=st.sampled_from(sorted(ADDITIVE)), rank=st.integers(1, 4), seed=st.integers(0, 99)
)
def test_bypass_equals_merge(
    layer: nn.Linear | nn.Conv1d | nn.Conv2d, name: str, rank: int, seed: int
) -> None:
    layer.requires_grad_(False)
    adapter = decode(ADDITIVE[name](tuple(layer.weight.shape), rank, seed), Hints()).adapter
    assert adapter.additive
    case = LayerCase(name, layer, input_of(layer, seed))
    bypassed, merged = adapter.bypass(case.x, layer), trained_change(adapter, case)
    torch.testing.assert_close(bypassed, merged, atol=2e-5, rtol=1e-4)
    assert merged.abs().max() > 1e-5


@pytest.mark.parametrize(("make", "rank"), [(loha, 4), (lora, 2)], ids=["loha", "lora"])
def test_low_rank_factors_multiply_to_the_delta(make: Make, rank: int) -> None:
    parts = make((120, 96, 3, 3), 2, 0)
    adapter = decode(parts, Hints()).adapter
    low = adapter.low_rank()
    assert low is not None
    assert low.down.shape[0] == rank
    weight = torch.zeros(120, 96, 3, 3)
    torch.testing.assert_close((low.up @ low.down).reshape(weight.shape), adapter.delta(weight))


def test_loha_of_high_rank_has_no_cheaper_low_rank_form() -> None:
    assert decode(loha((120, 96), 16, 0), Hints()).adapter.low_rank() is None


def test_small_loha_is_bypassed_through_its_low_rank_form() -> None:
    case = linear(i=96, o=120)
    adapter = decode(loha((120, 96), 2, 0), Hints()).adapter
    assert adapter.low_rank() is not None
    torch.testing.assert_close(
        adapter.bypass(case.x, case.layer), trained_change(adapter, case), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("name", sorted(WEIGHT_DEPENDENT))
def test_weight_dependent_algorithms_refuse_to_be_bypassed(name: str) -> None:
    case = linear(i=12, o=24)
    adapter = decode(WEIGHT_DEPENDENT[name]((24, 12), 2, 0), Hints()).adapter
    assert not adapter.additive
    with pytest.raises(AdapterError, match="Merge it"):
        adapter.bypass(case.x, case.layer)


def test_bypass_follows_a_patched_convolution() -> None:
    """Extensions for seamless tiling replace `_conv_forward` on the instance."""
    layer = nn.Conv2d(6, 12, 3, padding=1, bias=False).requires_grad_(False)
    case = LayerCase("tiled", layer, noise(1, 6, 5, 5))
    adapter = decode(lora((12, 6, 3, 3), 2, 0), Hints()).adapter
    zero_padded = adapter.bypass(case.x, layer)

    def wrap(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return nn.functional.conv2d(nn.functional.pad(x, (1, 1, 1, 1), mode="circular"), weight, bias)

    layer._conv_forward = wrap  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    wrapped = adapter.bypass(case.x, layer)
    expected = wrap(case.x, adapter.delta(layer.weight), None)
    torch.testing.assert_close(wrapped, expected, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(wrapped, zero_padded)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(ADDITIVE))
def test_bypass_answers_in_the_inputs_dtype(name: str, dtype: torch.dtype) -> None:
    layer = nn.Conv2d(12, 24, 3).to(dtype)
    adapter = decode(ADDITIVE[name]((24, 12, 3, 3), 2, 0), Hints()).adapter
    assert adapter.bypass(noise(1, 12, 5, 5, dtype=dtype), layer).dtype == dtype


def test_layers_that_cannot_be_bypassed_are_named() -> None:
    adapter = decode(lora((24, 12), 2, 0), Hints()).adapter
    with pytest.raises(AdapterError, match="Embedding"):
        adapter.bypass(torch.zeros(1, dtype=torch.int64), nn.Embedding(24, 12))


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_adapter_says_what_it_does_not_fit(name: str) -> None:
    shape = (24, 12, 3, 3)
    adapter = decode(ALL[name](shape, 2, 0), Hints()).adapter
    assert adapter.misfit(shape) is None
    for other in ((25, 11, 3, 3), (23, 7), (5,)):
        reason = adapter.misfit(other)
        assert reason is not None and "x".join(str(dim) for dim in other) in reason
        with pytest.raises(AdapterError, match="does not fit"):
            adapter.delta(torch.zeros(other))
