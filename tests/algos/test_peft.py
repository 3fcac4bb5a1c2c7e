"""Algorithms against what PEFT's merge makes of a layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.registry import decode
from tests.oracles.layers import LayerCase, all_cases, conv3x3, linear, noise

peft = pytest.importorskip("peft", reason="PEFT is not among the host's packages")


def adapter_of(
    config: Any, case: LayerCase, hints: Hints, scale: float = 0.3
) -> tuple[Adapter, Tensor, Tensor]:
    """Returns our adapter made from what PEFT saves, and PEFT's change of weight and bias."""
    from tests.oracles.peft import merged

    parts, weight, bias = merged(config, case, scale)
    decoded = decode(parts, hints)
    assert not decoded.leftover
    assert weight.abs().max() > 1e-2, "the oracle changes nothing: the test could not fail"
    return decoded.adapter, weight, bias


def check(config: Any, case: LayerCase, hints: Hints, scale: float = 0.3) -> None:
    """Our deltas are PEFT's."""
    adapter, weight, bias = adapter_of(config, case, hints, scale)
    torch.testing.assert_close(adapter.delta(case.layer.weight), weight, atol=1e-5, rtol=1e-4)
    ours = adapter.bias_delta(case.layer.bias)
    torch.testing.assert_close(torch.zeros_like(bias) if ours is None else ours, bias, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_loha_agrees_with_peft(case: LayerCase) -> None:
    check(peft.LoHaConfig(r=3, alpha=2, target_modules=["layer"]), case, Hints(alpha=2))


def test_tucker_loha_agrees_with_peft() -> None:
    config = peft.LoHaConfig(r=3, alpha=2, target_modules=["layer"], use_effective_conv2d=True)
    check(config, conv3x3(), Hints(alpha=2))


@pytest.mark.parametrize("case", all_cases(), ids=str)
@pytest.mark.parametrize("both", [False, True])
def test_lokr_agrees_with_peft(case: LayerCase, both: bool) -> None:
    config = peft.LoKrConfig(r=1, alpha=2, decompose_both=both, target_modules=["layer"])
    check(config, case, Hints(alpha=2))


def test_tucker_lokr_agrees_with_peft() -> None:
    config = peft.LoKrConfig(r=1, alpha=2, target_modules=["layer"], use_effective_conv2d=True)
    check(config, conv3x3(), Hints(alpha=2))


@pytest.mark.parametrize("case", all_cases(), ids=str)
@pytest.mark.parametrize("rslora", [False, True])
def test_dora_agrees_with_peft(case: LayerCase, rslora: bool) -> None:
    config = peft.LoraConfig(r=4, lora_alpha=2, target_modules=["layer"], use_dora=True, use_rslora=rslora)
    check(config, case, Hints(alpha=2, rs_lora=rslora))


@pytest.mark.parametrize("case", all_cases(), ids=str)
@pytest.mark.parametrize("feedforward", [False, True])
def test_ia3_agrees_with_peft(case: LayerCase, feedforward: bool) -> None:
    config = peft.IA3Config(target_modules=["layer"], feedforward_modules=["layer"] if feedforward else [])
    check(config, case, Hints())


@pytest.mark.parametrize("case", all_cases(), ids=str)
@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize(
    ("series", "terms"), [(True, 5), (True, 2), (True, 3), (True, 4), (True, 7), (False, 5)]
)
def test_input_oft_agrees_with_peft(case: LayerCase, share: bool, series: bool, terms: int) -> None:
    config = peft.OFTConfig(
        oft_block_size=4,
        target_modules=["layer"],
        block_share=share,
        use_cayley_neumann=series,
        num_cayley_neumann_terms=terms,
    )
    check(config, case, Hints(cayley_neumann=series, neumann_terms=terms), scale=0.1)


def test_scaled_oft_divides_q() -> None:
    adapter, _, _ = adapter_of(
        peft.OFTConfig(oft_block_size=4, target_modules=["layer"]), linear(), Hints(), scale=0.1
    )
    stored = adapter.tensors()["oft_R.weight"]
    flagged = {"oft_R.weight": stored * (2 * 3**0.5), "oft_R.scaled_oft": torch.tensor(True)}
    weight = noise(18, 12, seed=4)
    torch.testing.assert_close(decode(flagged, Hints()).adapter.delta(weight), adapter.delta(weight))


def test_one_trainer_turns_convolutions_the_other_way() -> None:
    case = conv3x3()
    config = peft.OFTConfig(oft_block_size=4, target_modules=["layer"], num_cayley_neumann_terms=9)
    adapter, _, _ = adapter_of(config, case, Hints(neumann_terms=9), scale=0.05)
    back = decode(
        {"oft_R.weight": -adapter.tensors()["oft_R.weight"]}, Hints(neumann_terms=9, one_trainer=True)
    )
    # R(-Q) is R(Q) transposed, so the other way round with the other sign is the same change.
    ours = back.adapter.delta(case.layer.weight)
    torch.testing.assert_close(ours, adapter.delta(case.layer.weight), atol=1e-5, rtol=1e-4)
    forward = decode(adapter.tensors(), Hints(neumann_terms=9, one_trainer=True)).adapter
    assert not torch.allclose(forward.delta(case.layer.weight), ours, atol=1e-3)
