"""The form has every option once, and hides what has no effect: as the config's own checks say."""

from __future__ import annotations

from typing import Any

import pytest

from lib_lyco.errors import ConfigError
from lib_lyco.studio.form import NEEDS, USES, describe_form, group_of, title_of
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.train.option import declarations
from lib_lyco.train.options.network import ALGOS

_OTHER: dict[str, Any] = {"conv_rank": 4, "rank": 4, "block_size": 2, "ema_file": "instead"}
"""Values that differ from the default, where adding something to it does not make one."""


def _options() -> dict[str, dict[str, Any]]:
    return {one["name"]: dict(one) for group in describe_form() for one in group["options"]}


def test_every_option_is_there_once_with_a_title_of_its_own() -> None:
    names = [one["name"] for group in describe_form() for one in group["options"]]
    assert sorted(names) == sorted(one.name for one in declarations(TrainConfig))
    titles = [one["title"] for group in describe_form() for one in group["options"]]
    assert all(titles)
    assert len(set(titles)) == len(titles)


def test_an_option_is_told_as_it_is_declared() -> None:
    options = _options()
    rank, size = options["rank"], options["resolution"]
    assert (rank["kind"], rank["low"], rank["high"], rank["default"]) == ("int", 1, 1024, 16)
    assert (size["kind"], size["item"], size["length"], size["default"]) == ("tuple", "int", 2, [512, 512])
    assert options["te_learning_rate"]["length"] is None
    assert options["max_steps"]["optional"]
    assert options["algo"]["choices"] == list(ALGOS)
    assert group_of("algo") == "Network"
    assert title_of("algo") == "Algorithm"


def _changed(name: str) -> Any:
    declared = next(one for one in declarations(TrainConfig) if one.name == name)
    if name in _OTHER:
        return _OTHER[name]
    if declared.option.choices:
        return next(one for one in declared.option.choices if one != declared.default)
    if declared.kind is bool:
        return not declared.default
    if declared.kind is tuple:
        return (0.5,)
    return "0.5" if declared.kind is str else 1 if declared.optional else (declared.default or 0) + 1


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_what_needs_another_option_is_refused_without_it(name: str) -> None:
    needed, _ = NEEDS[name]
    off = {"metadata": False} if needed == "metadata" else {}
    value = (
        0.5 if name in ("adaptive_noise_scale", "multires_noise_discount", "huber_c") else _changed(name)
    )
    if name in ("decay_share", "scheduler_min_ratio"):
        value = 0.5
    with pytest.raises(ConfigError):
        make_config({name: value, **off})


@pytest.mark.parametrize("name", sorted(set(USES) & {one.name for one in declarations(TrainConfig)}))
def test_what_an_algorithm_does_not_use_is_refused_with_it(name: str) -> None:
    if name == "alpha":
        pytest.skip("alpha is taken and has no effect, since most configs name it")
    without = next(one for one in ALGOS if one not in USES[name])
    value = 0.5 if "dropout" in name else _changed(name)
    with pytest.raises(ConfigError) as caught:
        make_config({name: value, "algo": without})
    assert name in caught.value.where


def test_what_is_not_installed_is_told_with_its_command() -> None:
    options = {
        one["name"]: one for group in describe_form(lambda module: False) for one in group["options"]
    }
    missing = options["optimizer_type"]["missing"]
    assert missing["Prodigy"].endswith("-m pip install prodigyopt")
    assert "AdamW" not in missing
    assert options["log_with"]["missing"]["all"].endswith("pip install tensorboard wandb")
    assert options["rank"]["missing"] == {}


def test_nothing_is_missing_where_all_is_installed() -> None:
    for group in describe_form(lambda module: True):
        assert all(one["missing"] == {} for one in group["options"])
