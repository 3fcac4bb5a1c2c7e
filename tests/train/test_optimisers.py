"""Optimisers by name: class, arguments, what is taken where a package is missing; resume of each."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lib_lyco.errors import ConfigError, MissingPackageError
from lib_lyco.files.save import save_tensors
from lib_lyco.files.tensors import read_content
from lib_lyco.train.optim import Group, Optimisation
from lib_lyco.train.optimisers import (
    OPTIMISERS,
    OptimiserChoice,
    build_optimiser,
    find_recipe,
    parse_arguments,
)
from lib_lyco.train.tree import flattened, rebuilt

CPU = torch.device("cpu")
OF_TORCH = ("Adam", "RAdam", "NAdam", "Adagrad", "RMSprop", "SGD", "Adamax")


def parameters() -> list[nn.Parameter]:
    """A matrix as large as bitsandbytes packs into 8 bits, and a small one."""
    chance = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=chance)) for shape in ((64, 80), (3, 2))]


def optimisation(tensors: Sequence[nn.Parameter], name: str, **arguments: Any) -> Optimisation:
    rate = 1.0 if find_recipe(name).one_rate else 1e-2
    groups = [Group(str(index), [tensor], rate) for index, tensor in enumerate(tensors)]
    built = build_optimiser(
        OptimiserChoice(name, arguments), [{"params": list(g.parameters), "lr": rate} for g in groups], CPU
    )
    return Optimisation(groups, lambda step: 1 / (1 + step), built)


def set_gradients(tensors: Sequence[nn.Parameter], step: int) -> None:
    for index, tensor in enumerate(tensors):
        chance = torch.Generator().manual_seed(100 * step + index)
        tensor.grad = torch.randn(tensor.shape, generator=chance).to(tensor.dtype)


def make_step(tensors: Sequence[nn.Parameter], optimiser: Optimisation, step: int) -> None:
    set_gradients(tensors, step)
    assert optimiser.step(step)


def need(name: str) -> None:
    recipe = find_recipe(name)
    try:
        importlib.import_module(recipe.module)
    except ImportError:
        pytest.skip(f"{recipe.package} is not installed")


@pytest.mark.parametrize("name", [*OPTIMISERS, *OF_TORCH, "torch.optim.ASGD"])
def test_update_is_that_of_the_class_itself(name: str) -> None:
    need(name)
    recipe = find_recipe(name)
    made = getattr(importlib.import_module(recipe.module), recipe.name)
    ours, theirs = parameters(), parameters()
    mine = optimisation(ours, name)
    extra: dict[str, Any] = {"momentum": 0.9, "nesterov": True} if "Nesterov" in name else {}
    relative = name == "AdaFactor"
    rate = None if relative else 1.0 if recipe.one_rate else 1e-2
    other = made([{"params": [tensor]} for tensor in theirs], lr=rate, **extra)
    if recipe.schedule_free:
        other.train()
    for step in range(8):  # RAdam's schedule-free form does nothing in the first four
        make_step(ours, mine, step)
        for group in other.param_groups:
            group["lr"] = rate / (1 + step) if rate else None
        set_gradients(theirs, step)
        other.step()
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert not torch.equal(ours[0], parameters()[0])


@pytest.mark.parametrize("name", [*OPTIMISERS, *OF_TORCH])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_resume_of_every_optimiser_is_exact(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    need(name)
    whole, first, second = ([nn.Parameter(p.detach().to(dtype)) for p in parameters()] for _ in range(3))
    at_once, before, after = (optimisation(tensors, name) for tensors in (whole, first, second))
    for step in range(5):
        make_step(whole, at_once, step)
    for step in range(2):
        make_step(first, before, step)
    tree, tensors = flattened(before.state(), "x/")
    path = tmp_path / "run.state"
    save_tensors(path, {key: tensor.cpu().contiguous() for key, tensor in tensors.items()}, {"tree": tree})
    content = read_content(path)
    with torch.no_grad():
        for one, two in zip(first, second, strict=True):
            two.copy_(one)
    after.load(rebuilt(content.metadata["tree"], content.tensors))
    for step in range(2, 5):
        make_step(second, after, step)
    for one, two in zip(whole, second, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["AdamWScheduleFree", "RAdamScheduleFree", "SGDScheduleFree"])
def test_schedule_free_saves_its_average_and_goes_on_as_if_nothing_was(name: str) -> None:
    need(name)
    ours, undisturbed = parameters(), parameters()
    mine, other = optimisation(ours, name), optimisation(undisturbed, name)
    for step in range(8):
        make_step(ours, mine, step)
        make_step(undisturbed, other, step)
        with mine.averaged():
            pass
    with mine.averaged():
        inside = [tensor.detach().clone() for tensor in ours]
    for one, two, average in zip(ours, undisturbed, inside, strict=True):
        assert torch.equal(one, two)
        assert not torch.equal(one, average)
    # x of y = (1 - b) z + b x, as the package computes it
    state: Any = other.optimiser
    state.eval()
    for one, average in zip(undisturbed, inside, strict=True):
        torch.testing.assert_close(one.detach(), average, rtol=0, atol=0)


def test_other_optimisers_have_no_average() -> None:
    tensors = parameters()
    mine = optimisation(tensors, "AdamW")
    make_step(tensors, mine, 0)
    before = [tensor.detach().clone() for tensor in tensors]
    with mine.averaged():
        assert all(torch.equal(one, two) for one, two in zip(tensors, before, strict=True))


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("AdamW8bit", "AdamW"),
        ("PagedAdamW", "AdamW"),
        ("PagedAdamW8bit", "AdamW"),
        ("PagedAdamW32bit", "AdamW"),
        ("SGDNesterov8bit", "SGDNesterov"),
        ("Lion8bit", "Lion"),
    ],
)
def test_without_bitsandbytes_the_same_in_full_precision_is_taken_with_a_word(
    name: str, instead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(instead)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    ours, theirs = parameters(), parameters()
    mine, full = optimisation(ours, name), optimisation(theirs, instead)
    for step in range(2):
        make_step(ours, mine, step)
        make_step(theirs, full, step)
    assert all(torch.equal(one, two) for one, two in zip(ours, theirs, strict=True))
    (note,) = mine.notes
    assert name in note and instead in note
    assert full.notes == ()


def test_missing_package_is_an_error_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prodigyopt", None)
    with pytest.raises(MissingPackageError) as caught:
        optimisation(parameters(), "Prodigy")
    assert caught.value.remedy == "pip install prodigyopt"


def test_state_of_another_optimiser_is_refused() -> None:
    one, two = optimisation(parameters(), "AdamW"), optimisation(parameters(), "SGD")
    with pytest.raises(ConfigError, match="another optimiser"):
        two.load(one.state())


def test_names_are_read_in_any_case_and_the_nearest_is_told() -> None:
    assert find_recipe("adamw8BIT").name == "AdamW8bit"
    assert find_recipe("radam").name == "RAdam"
    assert find_recipe("a.b.C").module == "a.b"
    with pytest.raises(ConfigError) as caught:
        find_recipe("Prodgy")
    assert caught.value.expected == "did you mean Prodigy?"


def test_arguments_are_python_literals() -> None:
    assert parse_arguments(["betas=(0.9, 0.99)", "eps = 1e-7", "amsgrad=True", "x=None", "y='a=b'"]) == {
        "betas": (0.9, 0.99),
        "eps": 1e-7,
        "amsgrad": True,
        "x": None,
        "y": "a=b",
    }
    for text in ("betas", "=1", "a b=1", "x=true", "x=__import__('os')", "x=1+"):
        with pytest.raises(ConfigError) as caught:
            parse_arguments([text])
        assert caught.value.where == "optimizer_args"
    with pytest.raises(ConfigError):
        parse_arguments(["eps=1", "eps=2"])


def test_arguments_reach_the_optimiser() -> None:
    tensors = parameters()
    mine = optimisation(tensors, "SGDNesterov", momentum=0.5, weight_decay=0.25)
    (settings, _) = mine.optimiser.param_groups
    assert (settings["momentum"], settings["nesterov"], settings["weight_decay"]) == (0.5, True, 0.25)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("AdamW", {"beta": (0.9, 0.99)}, "did you mean betas?"),
        ("AdamW", {"lr": 1e-3}, "learning_rate"),
        ("SGDNesterov", {"nesterov": False}, "SGDNesterov is nesterov=True"),
        ("SGD", {"qqq": 1}, "one of momentum"),
    ],
)
def test_argument_that_would_be_ignored_is_an_error(
    name: str, arguments: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        optimisation(parameters(), name, **arguments)
    assert caught.value.where == "optimizer_args"
    assert expected in caught.value.expected


def test_value_that_the_optimiser_refuses_is_an_error() -> None:
    with pytest.raises(ConfigError, match="refuses") as caught:
        optimisation(parameters(), "AdamW", betas=(2.0, 0.9))
    assert "beta" in caught.value.got
