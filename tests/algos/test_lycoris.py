"""Every algorithm against lycoris-lora's training forward, on Linear, 1x1 and strided 3x3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lycoris.modules.boft import ButterflyOFTModule
from lycoris.modules.diag_oft import DiagOFTModule
from lycoris.modules.dylora import DyLoraModule
from lycoris.modules.glora import GLoRAModule
from lycoris.modules.ia3 import IA3Module
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from lycoris.modules.norms import NormModule
from lycoris.modules.tlora import TLoraModule
from torch import Tensor, nn

from lib_lyco.algos.dora import Dora
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.registry import decode
from tests.oracles.layers import LayerCase, all_cases, conv1x1, conv3x3, linear, noise
from tests.oracles.lycoris import change, fill
from tests.oracles.trained import trained_change

Build = Callable[[nn.Module], Any]
DiagOft: Any = DiagOFTModule
"""Untyped: its default makes a constraint an integer to a type checker."""
Butterfly: Any = ButterflyOFTModule


def agree(build: Build, case: LayerCase, hints: Hints | None = None, scale: float = 0.3) -> None:
    """A lycoris module's change of the output is our adapter's, made from what the module saves."""
    module = build(case.layer)
    parts = fill(module, scale=scale)
    decoded = decode(parts, hints or Hints())
    assert not decoded.leftover
    expected = change(module, case)
    assert expected.abs().max() > 1e-2, "the oracle changes nothing: the test could not fail"
    torch.testing.assert_close(trained_change(decoded.adapter, case), expected, atol=1e-4, rtol=1e-3)
    if decoded.adapter.additive:
        bypassed = decoded.adapter.bypass(case.x, case.layer)
        torch.testing.assert_close(bypassed, expected, atol=1e-4, rtol=1e-3)


BUILDS: dict[str, Build] = {
    "loha": lambda layer: LohaModule("m", layer, lora_dim=3, alpha=1),
    "loha-rs": lambda layer: LohaModule("m", layer, lora_dim=4, alpha=1, rs_lora=True),
    "lokr-w2-split": lambda layer: LokrModule("m", layer, lora_dim=2, alpha=1, factor=2),
    "lokr-both-split": lambda layer: LokrModule("m", layer, lora_dim=1, alpha=3, decompose_both=True),
    "lokr-whole": lambda layer: LokrModule("m", layer, lora_dim=64, alpha=7, full_matrix=True),
    "lokr-unbalanced": lambda layer: LokrModule(
        "m", layer, lora_dim=1, alpha=1, factor=3, unbalanced_factorization=True
    ),
    "glora": lambda layer: GLoRAModule("m", layer, lora_dim=4, alpha=1),
    "ia3-out": lambda layer: IA3Module("m", layer),
    "ia3-in": lambda layer: IA3Module("m", layer, train_on_input=True),
    "diag-oft": lambda layer: DiagOft("m", layer, lora_dim=3),
    "diag-oft-rescaled": lambda layer: DiagOft("m", layer, lora_dim=3, rescaled=True),
    "diag-oft-constrained": lambda layer: DiagOft("m", layer, lora_dim=3, constraint=0.05),
    "dora-out": lambda layer: LoConModule("m", layer, lora_dim=3, alpha=1, weight_decompose=True),
    "dora-in": lambda layer: LoConModule(
        "m", layer, lora_dim=3, alpha=1, weight_decompose=True, wd_on_out=False
    ),
    "doha-out": lambda layer: LohaModule("m", layer, lora_dim=3, alpha=1, weight_decompose=True),
    "doha-in": lambda layer: LohaModule(
        "m", layer, lora_dim=3, alpha=1, weight_decompose=True, wd_on_out=False
    ),
    "dokr-out": lambda layer: LokrModule("m", layer, lora_dim=2, alpha=1, factor=2, weight_decompose=True),
    "dokr-in": lambda layer: LokrModule(
        "m", layer, lora_dim=2, alpha=1, factor=2, weight_decompose=True, wd_on_out=False
    ),
}


def test_the_modules_save_the_parts_their_names_promise() -> None:
    promised = {
        "lokr-w2-split": {"lokr_w1", "lokr_w2_a"},
        "lokr-both-split": {"lokr_w1_a", "lokr_w2_a"},
        "lokr-whole": {"lokr_w1", "lokr_w2"},
        "diag-oft-rescaled": {"oft_blocks", "rescale"},
        "dora-in": {"lora_up.weight", "dora_scale"},
    }
    for name, parts in promised.items():
        assert parts <= fill(BUILDS[name](linear().layer)).keys(), name
    unbalanced = fill(BUILDS["lokr-unbalanced"](linear().layer))
    assert unbalanced["lokr_w1"].shape == (6, 3)


@pytest.mark.parametrize("case", all_cases(), ids=str)
@pytest.mark.parametrize("name", BUILDS)
def test_adapter_of_saved_module_agrees_with_its_forward(name: str, case: LayerCase) -> None:
    agree(BUILDS[name], case)


@pytest.mark.parametrize("name", ["loha", "lokr"])
def test_tucker_core_agrees_with_forward(name: str) -> None:
    if name == "loha":
        agree(lambda layer: LohaModule("m", layer, lora_dim=3, alpha=1, use_tucker=True), conv3x3())
    else:
        agree(
            lambda layer: LokrModule("m", layer, lora_dim=2, alpha=1, factor=2, use_tucker=True), conv3x3()
        )


def test_lokr_of_primes_has_a_one_by_one_w1() -> None:
    module = LokrModule("m", linear(i=7, o=11).layer, lora_dim=2, alpha=1)
    assert module.lokr_w1.shape == (1, 1)
    agree(lambda layer: LokrModule("m", layer, lora_dim=2, alpha=1), linear(i=7, o=11))


@pytest.mark.parametrize("axis", ["out", "in"])
def test_dora_on_a_square_layer_takes_the_axis_from_the_position_of_its_dim(axis: str) -> None:
    case = linear(i=12, o=12)
    agree(
        lambda layer: LoConModule(
            "m", layer, lora_dim=3, alpha=1, weight_decompose=True, wd_on_out=axis == "out"
        ),
        case,
    )


@pytest.mark.parametrize("rescaled", [False, True])
@pytest.mark.parametrize("constraint", [0, 0.02])
@pytest.mark.parametrize("build_case", [linear, conv1x1, conv3x3])
def test_boft_agrees_with_forward(
    rescaled: bool, constraint: float, build_case: Callable[..., LayerCase]
) -> None:
    case = build_case(i=12, o=32)
    agree(
        lambda layer: Butterfly("m", layer, lora_dim=4, rescaled=rescaled, constraint=constraint),
        case,
    )


@pytest.mark.parametrize("case", [linear(), conv1x1()], ids=str)
def test_tlora_agrees_with_forward(case: LayerCase) -> None:
    agree(lambda layer: TLoraModule("m", layer, lora_dim=4, alpha=2, bypass_mode=True), case)


@pytest.mark.parametrize("case", all_cases(), ids=str)
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_lycoris_dylora_has_the_trained_scale_at_every_sub_rank(case: LayerCase, blocks: int) -> None:
    module = DyLoraModule("m", case.layer, lora_dim=6, alpha=3, block_size=2)
    parts = fill(module)
    hints = Hints.from_metadata({"ss_network_args": '{"algo": "dylora", "block_size": "2"}'})
    adapter = decode(parts, hints).adapter.truncated(2 * blocks + 1)
    expected = module.get_diff_weight(rank=2 * (blocks - 1))[0].detach()
    assert adapter.rank == 2 * blocks
    torch.testing.assert_close(adapter.delta(case.layer.weight), expected)


def test_dylora_with_its_scale_folded_into_alpha_is_the_same_at_every_sub_rank() -> None:
    case = linear()
    module = DyLoraModule("m", case.layer, lora_dim=6, alpha=3, block_size=2)
    parts = fill(module)
    folded = {**parts, "alpha": parts["alpha"] * 2}
    hints = Hints.from_metadata({"ss_network_args": '{"dylora_block_size": "2"}'})
    full = decode(folded, Hints()).adapter.delta(case.layer.weight)
    torch.testing.assert_close(decode(folded, hints).adapter.delta(case.layer.weight), full)
    for blocks in (1, 2, 3):
        expected = module.get_diff_weight(rank=2 * (blocks - 1))[0].detach()
        cut = decode(folded, hints).adapter.truncated(2 * blocks)
        torch.testing.assert_close(cut.delta(case.layer.weight), expected)


@pytest.mark.parametrize("norm", [nn.LayerNorm(12), nn.GroupNorm(3, 12)], ids=["layer", "group"])
def test_norm_agrees_with_forward(norm: nn.LayerNorm | nn.GroupNorm) -> None:
    shape = (2, 5, 12) if isinstance(norm, nn.LayerNorm) else (2, 12, 4, 3)
    x: Tensor = noise(*shape, seed=3)
    norm.weight.data.copy_(noise(12, seed=4))
    norm.bias.data.copy_(noise(12, seed=5))
    module = NormModule("m", norm)
    adapter = decode(fill(module), Hints()).adapter
    with torch.no_grad():
        expected = module.eval()(x) - norm(x)
    torch.testing.assert_close(adapter.bypass(x, norm), expected, atol=1e-5, rtol=1e-4)
    bias = adapter.bias_delta(norm.bias)
    assert bias is not None
    torch.testing.assert_close(adapter.delta(norm.weight), module.w_norm.detach())
    torch.testing.assert_close(bias, module.b_norm.detach())


def test_dora_names_both_algorithms() -> None:
    module = LoConModule("m", linear().layer, lora_dim=3, alpha=1, weight_decompose=True)
    adapter = decode(fill(module), Hints()).adapter
    assert isinstance(adapter, Dora)
    assert (adapter.algo, adapter.inner.algo) == ("lora+dora", "lora")
