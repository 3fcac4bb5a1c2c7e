"""Models that wait on the CPU for their turn on a GPU: merged there, moved while merged, and back."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor

from lib_lyco.apply import session as session_module
from lib_lyco.apply.merge import merge_weight
from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Wanted
from tests.apply.small import (
    ADDITIVE,
    OTHERS,
    SmallModel,
    assert_same_weights,
    attributes,
    inputs,
    random_network,
    snapshot,
    targets_of,
)

ALSO_CPU = torch.device("cpu", 0)
"""Not equal to `cpu` without a number, so a session takes it for another device."""


def test_weights_on_the_cpu_are_merged_on_the_compute_device(monkeypatch: pytest.MonkeyPatch) -> None:
    model, plain = SmallModel().half(), SmallModel().half()
    wanted = [Wanted(random_network(targets_of(model), (*ADDITIVE, *OTHERS), seed)) for seed in range(2)]
    elsewhere: list[Tensor] = []

    def spy(original: Tensor, terms: Any, out: Tensor, *rest: Any) -> Any:
        elsewhere.append(out)
        return merge_weight(original, terms, out, *rest)

    monkeypatch.setattr(session_module, "merge_weight", spy)
    weights = snapshot(model)
    session = Session(targets_of(model), compute_device=ALSO_CPU)
    session.apply(wanted)
    in_use = {parameter.data_ptr() for parameter in model.parameters()}
    assert elsewhere and not in_use & {out.data_ptr() for out in elsewhere}
    Session(targets_of(plain)).apply(wanted)
    assert_same_weights(model, snapshot(plain))
    session.restore()
    assert_same_weights(model, weights)


def test_weights_that_wander_between_steps_come_back_bit_for_bit() -> None:
    """What `.to(device)` and back does to a module with little GPU memory: new storages each time."""
    model, still = SmallModel(), SmallModel()
    weights, before = snapshot(model), attributes(model)
    networks = [
        random_network(targets_of(model), (*ADDITIVE, *OTHERS), seed, share=0.7) for seed in range(3)
    ]
    session, other = Session(targets_of(model), 50_000, ALSO_CPU), Session(targets_of(still))
    choice = random.Random(0)
    for turn in range(60):
        wanted = [
            Wanted(network, unet=choice.choice((0.0, 0.5, 1.0)), varies=index == 0)
            for index, network in enumerate(networks[: 1 + turn % 3])
        ]
        session.vary(wanted)
        other.vary(wanted)
        for parameter in choice.sample(list(model.parameters()), 5):
            parameter.data = parameter.detach().clone()
        with torch.no_grad():
            for ours, theirs in zip(model(*inputs()), still(*inputs()), strict=True):
                assert torch.equal(ours, theirs)
        if turn % 7 == 0:
            session.restore()
            other.restore()
            assert_same_weights(model, weights)
    session.restore()
    assert_same_weights(model, weights)
    assert attributes(model) == before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_merged_on_the_gpu_moved_there_and_back() -> None:
    model, plain = SmallModel(), SmallModel()
    weights, before = snapshot(model), attributes(model)
    networks = [random_network(targets_of(model), (*ADDITIVE, *OTHERS), seed) for seed in range(2)]
    wanted = [Wanted(networks[0], unet=0.5, varies=True), Wanted(networks[1])]
    session = Session(targets_of(model), 10**6, torch.device("cuda"))
    Session(targets_of(plain)).apply([Wanted(networks[0], unet=0.5), Wanted(networks[1])])
    for _ in range(3):
        session.apply(wanted)
        model.cuda()
        with torch.no_grad():
            found = model(*(tensor.cuda() for tensor in inputs()))
            expected = plain(*inputs())
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours.cpu(), theirs, atol=1e-3, rtol=1e-3)
        session.vary([Wanted(networks[0], unet=1.0, varies=True), Wanted(networks[1])])
        model.cpu()
    session.restore()
    assert_same_weights(model, weights)
    assert attributes(model) == before
