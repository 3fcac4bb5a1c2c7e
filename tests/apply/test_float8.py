"""Weights stored in 8 bits, as the WebUI stores them: in float8, computed after a cast of the module."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_lyco.algos.hints import Hints
from lib_lyco.algos.registry import decode
from lib_lyco.apply.blocks import LayerFactors
from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Mode, Wanted
from lib_lyco.models.target import Target, Targets
from lib_lyco.prompt.block_weights import read_block_weights
from tests.apply.reference import reference_delta
from tests.apply.small import ADDITIVE, adapter_of, name, network_of, parts_of

FLOAT8 = getattr(torch, "float8_e4m3fn", torch.float16)
pytestmark = pytest.mark.skipif(torch.float16 == FLOAT8, reason="this torch has no float8")
LAYER = name("mid_block.attentions.0.transformer_blocks.0.attn1.to_q")
FACTORS = (
    None,
    LayerFactors(read_block_weights("MID"), "sd1"),
    LayerFactors(read_block_weights("IN"), "sd1"),
)
MODES: tuple[Mode, ...] = ("merge", "bypass")


class CastLinear(nn.Linear):
    """What the WebUI's `manual_cast` makes of a Linear: there and back, at each call."""

    fine: Tensor
    fine_bias: Tensor

    def forward(self, input: Tensor) -> Tensor:
        stored = self.weight.dtype
        self.to(input.dtype)
        output = super().forward(input)
        self.to(stored)
        return output


def stored(keep_fine: bool = False) -> tuple[CastLinear, Targets]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        linear = CastLinear(24, 16)
    if keep_fine:
        linear.fine = linear.weight.detach().half()
        linear.fine_bias = linear.bias.detach().half()
    linear.to(FLOAT8)
    return linear, {LAYER: (Target(LAYER, linear, master="fine", master_bias="fine_bias"),)}


def bits(linear: nn.Linear) -> list[Tensor]:
    return [part.detach().view(torch.uint8).clone() for part in (linear.weight, linear.bias)]


def run(linear: nn.Linear) -> Tensor:
    with torch.no_grad():
        return linear(torch.randn(5, 24, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("varies", (False, True))
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("algos", (("lora", "lora"), ("lora", "loha"), ("lokr", "full")))
def test_both_of_two_networks_act(algos: tuple[str, ...], mode: Mode, varies: bool) -> None:
    linear, targets = stored()
    before = bits(linear)
    weight, bias = linear.weight.detach().double(), linear.bias.detach().double()
    wanted: list[Wanted] = []
    for seed, algo in enumerate(algos):
        parts = parts_of(algo, (16, 24), torch.Generator().manual_seed(seed))
        weight = weight + 0.5 * reference_delta(algo, parts, weight)
        bias = bias + 0.5 * parts.get("diff_b", torch.zeros(16)).double()
        wanted.append(
            Wanted(network_of(f"{seed}", {LAYER: decode(parts, Hints()).adapter}), unet=0.5, varies=varies)
        )
    session = Session(targets)
    report = session.apply(wanted, mode)
    assert report.backup_bytes == 0, "nothing is merged, so nothing is rounded to 8 bits"
    x = torch.randn(5, 24, generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(
        run(linear).double(), nn.functional.linear(x, weight, bias), atol=1e-5, rtol=1e-4
    )
    session.restore()
    assert all(torch.equal(one, other) for one, other in zip(bits(linear), before, strict=True))


@pytest.mark.parametrize("keep_fine", (False, True))
def test_what_must_be_merged_starts_from_the_finest_copy_and_is_rounded_once(keep_fine: bool) -> None:
    linear, targets = stored(keep_fine)
    before = bits(linear)
    exact = (linear.fine if keep_fine else linear.weight.detach()).double()
    exact_bias = (linear.fine_bias if keep_fine else linear.bias.detach()).double()
    source = exact
    wanted: list[Wanted] = []
    for seed in range(2):
        parts = parts_of("ia3", (16, 24), torch.Generator().manual_seed(seed))
        exact = exact + reference_delta("ia3", parts, source)
        wanted.append(Wanted(network_of(f"{seed}", {LAYER: decode(parts, Hints()).adapter})))
    glora = parts_of("glora", (16, 24), torch.Generator().manual_seed(2))
    exact = exact + source @ glora["a1.weight"].double() @ glora["a2.weight"].double()
    exact = exact + glora["b1.weight"].double() @ glora["b2.weight"].double()
    wanted.append(Wanted(network_of("glora", {LAYER: decode(glora, Hints()).adapter})))
    session = Session(targets)
    assert session.apply(wanted).problems == ()
    nearest = exact.float().to(FLOAT8).float()
    off = (linear.weight.detach().float() - nearest) != 0
    # float32's own error may decide a tie; nothing else may
    assert off.sum() <= 1
    assert torch.equal(linear.bias.detach().float(), exact_bias.float().to(FLOAT8).float())
    session.restore()
    assert all(torch.equal(one, other) for one, other in zip(bits(linear), before, strict=True))


def test_random_sequences_leave_no_trace() -> None:
    linear, targets = stored(keep_fine=True)
    before = bits(linear)
    networks = [
        network_of(algo, {LAYER: adapter_of(algo, (16, 24), seed)})
        for seed, algo in enumerate((*ADDITIVE, "ia3", "dora", "oft"))
    ]
    session = Session(targets, 10_000)
    choice = random.Random(0)
    for _ in range(200):
        wanted = [
            Wanted(
                network,
                unet=choice.choice((0, 0.5, 1)),
                factors=choice.choice(FACTORS),
                varies=choice.random() < 0.5,
            )
            for network in choice.sample(networks, choice.randrange(4))
        ]
        session.apply(wanted, choice.choice(MODES))
        if choice.random() < 0.5:
            run(linear)
        if choice.random() < 0.2:
            session.restore()
            assert all(torch.equal(one, other) for one, other in zip(bits(linear), before, strict=True))
    session.restore()
    state: dict[str, Any] = vars(linear)
    assert not state["_forward_hooks"]
    assert all(torch.equal(one, other) for one, other in zip(bits(linear), before, strict=True))
