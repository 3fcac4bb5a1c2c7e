"""A strength that changes by step is that strength at the step, and moves nothing else."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor, nn

from lib_lyco.algos.hints import Hints
from lib_lyco.algos.registry import decode
from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Wanted
from lib_lyco.models.target import Target
from tests.apply.small import (
    ADDITIVE,
    OTHERS,
    SmallModel,
    adapter_of,
    assert_same_weights,
    attributes,
    inputs,
    name,
    network_of,
    random_network,
    snapshot,
    targets_of,
)

STEPS = (0.0, 0.3, 0.3, 1.2, -0.5, 0.0)


def outputs(model: SmallModel) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return model(*inputs())


def merged_outputs(wanted: list[Wanted]) -> tuple[Tensor, ...]:
    """What a model returns into which everything is merged, by a session that never did anything else."""
    model = SmallModel()
    Session(targets_of(model)).apply([Wanted(one.network, one.te, one.unet, one.rank) for one in wanted])
    return outputs(model)


@pytest.mark.parametrize(
    "algos", [(algo,) for algo in (*ADDITIVE, *OTHERS)] + [(*ADDITIVE, *OTHERS)], ids=str
)
def test_each_step_is_the_merge_at_its_strength(algos: tuple[str, ...]) -> None:
    model = SmallModel()
    targets, weights, before = targets_of(model), snapshot(model), attributes(model)
    varying, constant = (random_network(targets, algos, seed) for seed in (0, 1))
    session = Session(targets)
    for index, strength in enumerate(STEPS):
        wanted = [Wanted(varying, te=0.4, unet=strength, varies=True), Wanted(constant, te=0.2, unet=-0.6)]
        if index == 0:
            session.apply(wanted)
        else:
            session.vary(wanted)
        for found, expected in zip(outputs(model), merged_outputs(wanted), strict=True):
            torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    session.restore()
    assert_same_weights(model, weights)
    assert attributes(model) == before


def test_each_step_is_pefts_forward_at_its_scale() -> None:
    peft = pytest.importorskip("peft", reason="PEFT is not among the host's packages")
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=["linear", "down"], init_lora_weights=False)
    theirs = peft.get_peft_model(SmallModel(), config)
    tensors = peft.get_peft_model_state_dict(theirs)
    adapters = {
        name(path): decode(
            {
                "lora_up.weight": tensors[f"base_model.model.{path}.lora_B.weight"],
                "lora_down.weight": tensors[f"base_model.model.{path}.lora_A.weight"],
                "alpha": torch.tensor(6.0),
            },
            Hints(),
        ).adapter
        for path in ("linear", "down")
    }
    model = SmallModel()
    session = Session(targets_of(model))
    for strength in STEPS:
        session.vary([Wanted(network_of("n", adapters), unet=strength, varies=True)])
        for path in ("linear", "down"):
            theirs.base_model.model.get_submodule(path).set_scale("default", strength)
        with torch.no_grad():
            expected = theirs(*inputs())
        for found, their in zip(outputs(model), expected, strict=True):
            torch.testing.assert_close(found, their, atol=2e-5, rtol=1e-4)


def test_a_step_of_gates_leaves_every_parameter_and_hook_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = SmallModel()
    targets = targets_of(model)
    varying = random_network(targets, ADDITIVE, 0)
    constant = random_network(targets, (*ADDITIVE, *OTHERS), 1)
    session = Session(targets, budget_bytes=0)
    session.apply([Wanted(varying, unet=0.0, varies=True), Wanted(constant)])
    state = attributes(model)
    places = {key: (id(value), value.data_ptr()) for key, value in model.named_parameters()}
    values = snapshot(model)
    for walk in ("make_plan", "Session._look_underneath", "Session._switch", "Session._report"):
        monkeypatch.delattr(f"lib_lyco.apply.session.{walk}")  # all that goes through every layer
    for strength in STEPS:
        session.vary([Wanted(varying, unet=strength, varies=True), Wanted(constant)])
        outputs(model)
        assert attributes(model) == state
        assert {key: (id(v), v.data_ptr()) for key, v in model.named_parameters()} == places
    assert_same_weights(model, values)


def test_a_step_merges_only_what_varies_and_cannot_be_bypassed() -> None:
    model = SmallModel()
    targets = targets_of(model)
    constant = random_network(targets, ("lora",), 1)
    varying = network_of(
        "v", {name("linear"): adapter_of("ia3", (16, 24)), name("bare"): adapter_of("lora", (16, 24))}
    )
    session = Session(targets)
    session.apply([Wanted(constant), Wanted(varying, unet=0.2, varies=True)])
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    places = {key: value.data_ptr() for key, value in model.named_parameters()}
    session.vary([Wanted(constant), Wanted(varying, unet=0.9, varies=True)])
    changed = {key for key, value in model.named_parameters() if not torch.equal(value, before[key])}
    assert changed == {"linear.weight"}
    kept = {key: place for key, place in places.items() if not key.startswith("linear")}
    assert {key: v.data_ptr() for key, v in model.named_parameters() if key in kept} == kept


def test_text_encoders_do_not_vary() -> None:
    model = SmallModel()
    network = network_of("n", {name("q_proj", "te1"): adapter_of("lora", (24, 24))})
    session = Session(targets_of(model))
    session.apply([Wanted(network, te=0.5, unet=0.0, varies=True)])
    pointer, values = model.attention.in_proj_weight.data_ptr(), snapshot(model)
    session.vary([Wanted(network, te=0.5, unet=1.0, varies=True)])
    assert model.attention.in_proj_weight.data_ptr() == pointer
    fresh = SmallModel()
    Session(targets_of(fresh)).apply([Wanted(network, te=0.5)])
    assert_same_weights(fresh, values)


def test_another_set_between_two_steps_is_applied() -> None:
    model = SmallModel()
    targets = targets_of(model)
    one, two = (random_network(targets, ("lora",), seed) for seed in (0, 1))
    session = Session(targets)
    session.apply([Wanted(one, varies=True)])
    for wanted in (
        [Wanted(one, unet=0.5, varies=True), Wanted(two)],
        [Wanted(one, unet=0.5, varies=True), Wanted(two, unet=0.3)],
        [Wanted(one, te=0.1, unet=0.5, varies=True), Wanted(two, unet=0.3)],
        [Wanted(two, varies=True)],
    ):
        session.vary(wanted)
        for found, expected in zip(outputs(model), merged_outputs(wanted), strict=True):
            torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_the_same_network_constant_and_varying_adds_up() -> None:
    model = SmallModel()
    targets = targets_of(model)
    network = random_network(targets, ("lora", "ia3"), 0)
    session = Session(targets)
    session.apply([Wanted(network, te=0.5, unet=0.5), Wanted(network, te=0.1, unet=0.2, varies=True)])
    report = session.apply(
        [Wanted(network, te=0.5, unet=0.5), Wanted(network, te=0.1, unet=0.4, varies=True)]
    )
    assert [count.total for count in report.counts] == [
        sum(layer.component == component for layer in network.adapters) for component in ("te1", "unet")
    ]
    for found, expected in zip(outputs(model), merged_outputs([Wanted(network, 0.6, 0.9)]), strict=True):
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("fused", ("rows", "rows_swapped", "delta_rows"))
def test_a_part_of_a_fused_layer_is_bypassed(fused: str) -> None:
    """SD3's qkv: rows of one Linear, or one adapter for Linears that the model keeps apart."""
    parts = [nn.Linear(24, 8) for _ in range(3)]
    whole = nn.Linear(24, 24)
    layers = [name(part) for part in "qkv"]
    if fused == "delta_rows":
        adapters = {name("qkv"): adapter_of("lora", (24, 24))}
        places = {
            name("qkv"): tuple(
                Target(name("qkv"), part, delta_rows=(8 * n, 8 * n + 8)) for n, part in enumerate(parts)
            )
        }
    else:
        adapters = {layer: adapter_of("lora", (8, 24), n) for n, layer in enumerate(layers[:2])}
        places = {
            layer: (Target(layer, whole, rows=(8 * n, 8 * n + 8), swapped_halves=fused == "rows_swapped"),)
            for n, layer in enumerate(layers)
        }
    x = torch.randn(2, 5, 24)

    def run() -> Tensor:
        with torch.no_grad():
            return torch.cat([part(x) for part in parts] if fused == "delta_rows" else [whole(x)], dim=-1)

    network = network_of("n", adapters)
    session = Session(places)
    base = run()
    session.apply([Wanted(network, unet=0.7)])
    merged = run()
    report = session.apply([Wanted(network, unet=0.7)], "bypass")
    assert report.backup_bytes == 0 and report.problems == ()
    torch.testing.assert_close(run(), merged, atol=1e-5, rtol=1e-5)
    assert (merged - base).abs().max() > 1e-2
    if fused == "rows":
        assert torch.equal(run()[..., 16:], base[..., 16:]), "v has no adapter"


def test_random_sequences_leave_no_trace() -> None:
    model = SmallModel()
    weights, before = snapshot(model), attributes(model)
    targets = targets_of(model)
    networks = [random_network(targets, (*ADDITIVE, *OTHERS), seed, share=0.6) for seed in range(4)]
    session = Session(targets, 50_000)
    choice = random.Random(0)
    for _ in range(150):
        chosen = [
            (network, choice.random() < 0.5) for network in choice.sample(networks, choice.randrange(4))
        ]
        for step in range(choice.randrange(1, 4)):
            wanted = [
                Wanted(network, te=0.5, unet=choice.choice((0, 0.5, 1)) if varies else 0.7, varies=varies)
                for network, varies in chosen
            ]
            (session.vary if step else session.apply)(wanted)
        if choice.random() < 0.2:
            session.restore()
            assert_same_weights(model, weights)
    session.restore()
    assert_same_weights(model, weights)
    assert attributes(model) == before


def test_gradients_flow_after_a_session_under_inference_mode() -> None:
    model = SmallModel()
    targets = targets_of(model)
    network = network_of("n", {name("linear"): adapter_of("lora", (16, 24))})
    session = Session(targets)
    x = inputs()[0]
    with torch.inference_mode():
        session.apply(
            [Wanted(network, unet=0.3, varies=True), Wanted(random_network(targets, ("lora",), 1))]
        )
        model.linear(x.clone())
    bypassed = model.linear(x.clone().requires_grad_())  # the same hook, its stack made before
    bypassed.sum().backward()
    with torch.inference_mode():
        session.restore()
    model.zero_grad()
    model.linear(x).sum().backward()
    fresh = SmallModel()
    fresh.linear(x).sum().backward()
    assert model.linear.weight.grad is not None and fresh.linear.weight.grad is not None
    assert torch.equal(model.linear.weight.grad, fresh.linear.weight.grad)
