"""On and off, in any order and through any accident: the weights come back bit for bit."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.full import Full
from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Mode, Wanted
from lib_lyco.errors import AdapterError
from lib_lyco.network.network import Network
from tests.apply.small import (
    ADDITIVE,
    OTHERS,
    SmallModel,
    adapter_of,
    assert_same_weights,
    attributes,
    name,
    network_of,
    random_network,
    snapshot,
    targets_of,
)

ALL = (*ADDITIVE, *OTHERS)
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Broken(Full):
    """Fails when its delta is asked for."""

    error: Exception = RuntimeError("boom")

    def delta(self, weight: Tensor) -> Tensor:
        raise self.error


def broken(error: Exception) -> Adapter:
    return Broken(diff=torch.zeros(16, 24), error=error)


def mixed_networks(model: SmallModel, count: int = 5) -> list[Network]:
    return [random_network(targets_of(model), ALL, seed, share=0.6) for seed in range(count)]


def weight_bytes(*tensors: Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize(("dtype", "budget"), list(zip(DTYPES, (0, 20_000, 10**7), strict=True)), ids=str)
def test_a_thousand_random_switches_leave_no_trace(dtype: torch.dtype, budget: int) -> None:
    model = SmallModel().to(dtype)
    weights, before = snapshot(model), attributes(model)
    networks = mixed_networks(model)
    session = Session(targets_of(model), budget)
    choice = random.Random(budget)
    modes: tuple[Mode, ...] = ("merge", "merge", "bypass")
    for step in range(1000):
        wanted = [
            Wanted(network, te=choice.choice((0, 0.5, 1)), unet=choice.choice((-1, 0, 0.5, 1.5)))
            for network in choice.sample(networks, choice.randrange(4))
        ]
        report = session.apply(wanted, choice.choice(modes))
        assert report.notes == ()
        assert report.parked_bytes <= budget
        if step % 20 == 0:
            session.restore()
            assert_same_weights(model, weights)
    session.restore()
    assert_same_weights(model, weights)
    assert attributes(model) == before


def test_a_set_is_the_same_bits_whatever_came_before() -> None:
    model = SmallModel()
    networks = mixed_networks(model)
    wanted = [Wanted(networks[0], te=0.5), Wanted(networks[1], unet=-0.7), Wanted(networks[2])]
    Session(targets_of(fresh := SmallModel())).apply(wanted)
    session = Session(targets_of(model), 10**6)
    for others in ([networks[3]], [networks[0]], [], networks):
        session.apply([Wanted(network, te=0.3) for network in others])
        session.apply(wanted)
        assert_same_weights(model, snapshot(fresh))
        session.apply(wanted[::-1])
        assert_same_weights(model, snapshot(fresh))


@pytest.mark.parametrize("mode", ("merge", "bypass"))
def test_the_same_network_twice_adds_up(mode: Mode) -> None:
    model, other = SmallModel(), SmallModel()
    (network,) = mixed_networks(model, 1)
    Session(targets_of(model)).apply([Wanted(network, te=0.5, unet=0.25), Wanted(network, te=0.25)], mode)
    Session(targets_of(other)).apply([Wanted(network, te=0.75, unet=1.25)], mode)
    assert_same_weights(model, snapshot(other))


def test_multipliers_are_those_of_the_component() -> None:
    model = SmallModel()
    weights = snapshot(model)
    (network,) = mixed_networks(model, 1)
    session = Session(targets_of(model))
    session.apply([Wanted(network, te=0, unet=1)])
    now = snapshot(model)
    assert torch.equal(now["attention.in_proj_weight"], weights["attention.in_proj_weight"])
    session.apply([Wanted(network, te=1, unet=0)])
    now = snapshot(model)
    assert not torch.equal(now["attention.in_proj_weight"], weights["attention.in_proj_weight"])
    assert all(torch.equal(now[key], weights[key]) for key in now if not key.startswith("attention"))


def test_only_what_changes_is_touched() -> None:
    model = SmallModel()
    one = network_of("one", {name("linear"): adapter_of("lora", (16, 24), 0)})
    two = network_of("two", {name("bare"): adapter_of("lora", (16, 24), 1)})
    session = Session(targets_of(model))
    assert session.apply([Wanted(one)]).touched == 1
    assert session.apply([Wanted(one)]).touched == 0
    pointer = model.linear.weight.data_ptr()
    assert session.apply([Wanted(one), Wanted(two)]).touched == 1
    assert session.apply([Wanted(one), Wanted(two, unet=0.5)]).touched == 1
    assert model.linear.weight.data_ptr() == pointer
    assert session.apply([Wanted(two, unet=0.5)]).touched == 1
    assert session.apply([]).touched == 1


def test_memory_is_held_for_touched_layers_only() -> None:
    model = SmallModel()
    session = Session(targets_of(model), budget_bytes=0)
    network = network_of("n", {name("linear"): adapter_of("lora", (16, 24))})
    report = session.apply([Wanted(network)])
    assert report.backup_bytes == weight_bytes(model.linear.weight)
    assert session.apply([]).backup_bytes == 0
    pointers = {key: value.data_ptr() for key, value in model.named_parameters()}
    session.apply([Wanted(network)])
    changed = [key for key, value in model.named_parameters() if value.data_ptr() != pointers[key]]
    assert changed == ["linear.weight"]


def test_multiplier_change_reuses_the_merged_tensor() -> None:
    model = SmallModel()
    network = network_of("n", {name("linear"): adapter_of("lora", (16, 24))})
    session = Session(targets_of(model), budget_bytes=0)
    session.apply([Wanted(network)])
    pointer = model.linear.weight.data_ptr()
    session.apply([Wanted(network, unet=0.5)])
    assert model.linear.weight.data_ptr() == pointer


def test_returning_to_a_set_computes_nothing_within_the_budget() -> None:
    model = SmallModel()
    size = weight_bytes(model.linear.weight)
    sets = [
        [Wanted(network_of(str(seed), {name("linear"): adapter_of("lora", (16, 24), seed)}))]
        for seed in range(4)
    ]
    session = Session(targets_of(model), budget_bytes=2 * size)
    pointers: list[int] = []
    for wanted in sets[:3]:
        session.apply(wanted)
        pointers.append(model.linear.weight.data_ptr())
    values = snapshot(model)
    session.apply(sets[0])  # the oldest of two kept ones comes back as it was
    assert model.linear.weight.data_ptr() == pointers[0]
    assert session.apply(sets[3]).parked_bytes == 2 * size  # 1 was the oldest and went, 2 and 0 are kept
    session.apply(sets[2])
    assert model.linear.weight.data_ptr() == pointers[2]
    assert_same_weights(model, values)
    session.restore()
    session.apply(sets[2])
    assert model.linear.weight.data_ptr() == pointers[2]


def test_kept_merges_are_not_used_after_a_reload() -> None:
    model = SmallModel()
    network = network_of("n", {name("linear"): adapter_of("full", (16, 24))})
    session = Session(targets_of(model), budget_bytes=10**6)
    session.apply([Wanted(network)])
    session.restore()
    other = SmallModel(seed=1)
    model.load_state_dict(other.state_dict())
    session.apply([Wanted(network)])
    Session(targets_of(other)).apply([Wanted(network)])
    assert_same_weights(model, snapshot(other))


@pytest.mark.parametrize("mode", ("merge", "bypass"))
@pytest.mark.parametrize("budget", (0, 10**6))
def test_exception_in_the_middle_of_a_switch_takes_everything_off(mode: Mode, budget: int) -> None:
    model = SmallModel()
    weights, before = snapshot(model), attributes(model)
    networks = mixed_networks(model)
    bad = network_of("bad", {**networks[1].adapters, name("bare"): broken(RuntimeError("boom"))})
    session = Session(targets_of(model), budget)
    session.apply([Wanted(networks[0]), Wanted(networks[2])], mode)
    with pytest.raises(RuntimeError, match="boom"):
        session.apply([Wanted(bad), Wanted(networks[2], unet=0.5)], "merge")
    assert_same_weights(model, weights)
    assert attributes(model) == before
    session.apply([Wanted(networks[0]), Wanted(networks[2])])
    Session(targets_of(fresh := SmallModel())).apply([Wanted(networks[0]), Wanted(networks[2])])
    assert_same_weights(model, snapshot(fresh))


def test_adapter_that_cannot_be_computed_is_reported_and_the_rest_applied() -> None:
    model = SmallModel()
    weights = snapshot(model)
    bad = network_of("bad", {name("linear"): broken(AdapterError("It is singular.", remedy="Retrain."))})
    good = network_of("good", {name("linear"): adapter_of("lora", (16, 24))})
    session = Session(targets_of(model), 10**6)
    for _ in range(2):
        report = session.apply([Wanted(bad), Wanted(good)])
        assert [str(count) for count in report.counts] == [
            "bad: applied 0 of 1 unet layers",
            "good: applied 1 of 1 unet layers",
        ]
        assert "It is singular." in str(report)
    expected = weights["linear.weight"] + good.adapters[name("linear")].delta(weights["linear.weight"])
    torch.testing.assert_close(model.linear.weight.detach(), expected)
    assert session.apply([]).parked_bytes == 0  # what is incomplete is not kept


def test_move_to_another_dtype_and_back_is_exact() -> None:
    model = SmallModel()
    weights = snapshot(model)
    session = Session(targets_of(model), 10**6)
    networks = mixed_networks(model)
    session.apply([Wanted(networks[0]), Wanted(networks[1])])
    touched = {key for key, value in model.named_parameters() if not torch.equal(value, weights[key])}
    assert len(touched) > 6
    model.half()
    model.float()
    report = session.restore()
    assert "moved or cast" in report.notes[0]
    now = snapshot(model)
    assert all(torch.equal(now[key], weights[key]) for key in touched)


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16, torch.float64), ids=str)
def test_model_cast_while_merged_is_the_model_cast(dtype: torch.dtype) -> None:
    model, never = SmallModel(), SmallModel()
    wanted = [Wanted(network) for network in mixed_networks(model)[:2]]
    session = Session(targets_of(model), 10**6)
    session.apply(wanted)
    model.to(dtype)
    never.to(dtype)
    session.apply(wanted)
    with Session(targets_of(never)) as other:
        other.apply(wanted)
        assert_same_weights(model, snapshot(never))
    session.restore()
    assert_same_weights(model, snapshot(never))


@pytest.mark.parametrize("replace", (False, True), ids=("same_parameters", "new_parameters"))
def test_moved_storage_is_followed(replace: bool) -> None:
    """What `.to(device)` does, in both ways torch can do it; there is one device to test on."""
    model = SmallModel()
    weights = snapshot(model)
    session = Session(targets_of(model), 10**6)
    session.apply([Wanted(network) for network in mixed_networks(model)[:2]])
    merged = snapshot(model)
    for module in model.modules():
        for key, parameter in module.named_parameters(recurse=False):
            if replace:
                module.register_parameter(key, nn.Parameter(parameter.detach().clone()))
            else:
                parameter.data = parameter.detach().clone()
    report = session.apply([Wanted(network) for network in mixed_networks(model)[:2]])
    assert report.touched == 0
    assert_same_weights(model, merged)
    session.restore()
    assert_same_weights(model, weights)


@pytest.mark.parametrize("assign", (False, True))
@pytest.mark.parametrize("then", ("restore", "apply", "forget"))
def test_weights_reloaded_underneath_are_the_new_originals(assign: bool, then: str) -> None:
    model, other = SmallModel(), SmallModel(seed=1)
    weights = snapshot(other)
    wanted = [Wanted(network) for network in mixed_networks(model)[:2]]
    session = Session(targets_of(model), 10**6)
    session.apply(wanted)
    state = other.state_dict()
    if assign:
        for module, source in zip(model.modules(), other.modules(), strict=True):
            for key, parameter in source.named_parameters(recurse=False):
                module.register_parameter(key, nn.Parameter(parameter.detach().clone()))
    else:
        model.load_state_dict(state, strict=False)
    if then == "forget":
        session.forget()
    else:
        report = session.apply(wanted) if then == "apply" else session.restore()
        assert "reloaded" in report.notes[0]
        if then == "apply":
            Session(targets_of(other)).apply(wanted)
            assert_same_weights(model, snapshot(other))
            session.restore()
    assert_same_weights(model, weights)


def test_reload_of_one_layer_leaves_the_others_restorable() -> None:
    model = SmallModel()
    weights = snapshot(model)
    session = Session(targets_of(model))
    session.apply([Wanted(random_network(targets_of(model), ("lora",), 0))])
    model.linear.load_state_dict(SmallModel(seed=1).linear.state_dict())
    session.restore()
    weights |= {f"linear.{key}": value for key, value in SmallModel(seed=1).linear.state_dict().items()}
    assert_same_weights(model, weights)


def test_replaced_parameter_that_lives_on_elsewhere_is_restored_there() -> None:
    model, elsewhere = SmallModel(), nn.Linear(24, 16)
    elsewhere.weight = model.linear.weight
    original = model.linear.weight.detach().clone()
    session = Session(targets_of(model))
    session.apply([Wanted(network_of("n", {name("linear"): adapter_of("lora", (16, 24))}))])
    assert not torch.equal(elsewhere.weight, original)
    model.linear.weight = nn.Parameter(torch.zeros(16, 24))
    session.restore()
    assert torch.equal(elsewhere.weight, original)
    assert torch.equal(model.linear.weight, torch.zeros(16, 24))


def test_model_that_went_to_meta_is_let_go() -> None:
    model = SmallModel()
    session = Session(targets_of(model), 10**6)
    session.apply([Wanted(random_network(targets_of(model), ("lora",), 0))])
    model.to("meta")
    report = session.restore()
    assert "reloaded" in report.notes[0]
    assert report.parked_bytes == 0
    assert model.linear.weight.is_meta


def test_context_restores_after_an_error() -> None:
    model = SmallModel()
    weights = snapshot(model)
    with pytest.raises(ValueError, match="of the caller"), Session(targets_of(model)) as session:
        session.apply([Wanted(network) for network in mixed_networks(model)])
        raise ValueError("of the caller")
    assert_same_weights(model, weights)


def test_parameters_stay_what_they_are() -> None:
    model = SmallModel()
    model.linear.requires_grad_(False)
    parameters = dict(model.named_parameters())
    pointers = {key: value.data_ptr() for key, value in parameters.items()}
    session = Session(targets_of(model))
    session.apply([Wanted(random_network(targets_of(model), ("lora",), 0))])
    for key, value in model.named_parameters():
        assert value is parameters[key]
        assert value.requires_grad == (not key.startswith("linear"))
    session.restore()
    assert {key: value.data_ptr() for key, value in model.named_parameters()} == pointers


def test_nothing_wanted_is_nothing_done() -> None:
    model = SmallModel()
    before, weights = attributes(model), snapshot(model)
    session = Session(targets_of(model), 10**6)
    zero = random_network(targets_of(model), ALL, 0)
    modes: tuple[Mode, ...] = ("merge", "bypass")
    for mode in modes:
        for wanted in ([], [Wanted(zero, te=0, unet=0)]):
            report = session.apply(wanted, mode)
            assert (report.touched, report.backup_bytes, report.parked_bytes) == (0, 0, 0)
            assert attributes(model) == before
    assert_same_weights(model, weights)
