"""The one declaration of options: bounds, TOML and flags derive from it."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from lib_lyco.errors import ConfigError
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.train.config_file import dump_config, load_config, parse_config
from lib_lyco.train.config_flags import add_flags, flag_values
from lib_lyco.train.option import Declaration, declarations

EVERY = declarations(TrainConfig)


def other_value(declaration: Declaration) -> Any:
    """A value that is allowed and not the default."""
    option, default = declaration.option, declaration.default
    if option.choices:
        return next(choice for choice in option.choices if choice != default)
    if declaration.kind is bool:
        return not default
    if declaration.kind is tuple:
        return (64, 128)
    if declaration.kind is str:
        return ".txt" if declaration.name == "caption_extension" else "other"
    return min((option.multiple_of or 1) * 16, int(option.high or 128))


@pytest.mark.parametrize("declaration", EVERY, ids=lambda declaration: declaration.name)
def test_every_option_has_help_and_a_group_and_survives_toml_and_flags(declaration: Declaration) -> None:
    assert declaration.option.help.endswith(".")
    assert declaration.option.group
    parser = argparse.ArgumentParser()
    add_flags(parser)
    value = other_value(declaration)
    flag = "--" + declaration.name.replace("_", "-")
    text = f"{value[0]},{value[1]}" if isinstance(value, tuple) else str(value)
    switch = flag if value else flag.replace("--", "--no-")
    words = [switch] if declaration.kind is bool else [flag, text]
    assert flag_values(parser.parse_args(words)) == {declaration.name: value}
    values = {declaration.name: value} | COMPANIONS.get(declaration.name, {})
    config = make_config(values)
    assert parse_config(dump_config(config)) == config
    assert getattr(config, declaration.name) == value


COMPANIONS: dict[str, dict[str, Any]] = {
    # options that are errors on their own, and what makes them make sense
    "resolution": {"bucket_min": 64},
    "bucket_max": {"bucket_min": 16, "resolution": (16, 16)},
    "random_crop": {"latent_cache": "off"},
    "factor": {"algo": "lokr"},
    "decompose_both": {"algo": "lokr"},
    "constraint": {"algo": "boft"},
    "warmup_steps": {"scheduler": "cosine"},
    "save_last_n_epochs": {"save_every_n_epochs": 1},
    "save_last_n_steps": {"save_every_n_steps": 1},
    "save_last_n_epochs_state": {"save_n_epoch_ratio": 2, "save_state": True},
    "save_last_n_steps_state": {"save_every_n_steps": 1, "save_state": True},
    "ema_file": {"ema_decay": 0.9},
    "noise_offset_random_strength": {"noise_offset": 0.1},
    "adaptive_noise_scale": {"noise_offset": 0.1},
    "multires_noise_discount": {"multires_noise_iterations": 6},
    "ip_noise_gamma_random_strength": {"ip_noise_gamma": 0.1},
    "timestep_mean": {"timestep_sampling": "logit_normal"},
    "timestep_scale": {"timestep_sampling": "logit_normal"},
    "zero_terminal_snr_weights": {"zero_terminal_snr": True},
    "huber_schedule": {"loss_type": "huber"},
    "huber_c": {"loss_type": "smooth_l1"},
    "huber_scale": {"loss_type": "huber", "huber_schedule": "constant"},
    "prior_caption": {"prior_prediction_weight": 1.0},
}


def test_flags_not_given_set_nothing() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    assert flag_values(parser.parse_args([])) == {}
    assert flag_values(parser.parse_args(["--resolution", "128"])) == {"resolution": (128, 128)}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"rank": 0}, "rank"),
        ({"rank": True}, "rank"),
        ({"rank": "16"}, "rank"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"learning_rate": -1e-4}, "learning_rate"),
        ({"algo": "lorra"}, "algo"),
        ({"resolution": (512, 500)}, "resolution"),
        ({"resolution": (512, 512, 512)}, "resolution"),
        ({"resolution": (128, 128)}, "bucket_min"),
        ({"resolution": (2048, 512)}, "bucket_max"),
        ({"random_crop": True}, "latent_cache"),
        ({"algo": "dylora", "rank": 10}, "block_size"),
        ({"factor": 8}, "factor"),
        ({"tucker": True, "algo": "ia3"}, "tucker"),
        ({"warmup_steps": 5, "scheduler": "constant"}, "warmup_steps"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"unet_learning_rate": 0, "te_learning_rate": 0}, "learning_rate"),
        ({"adaptive_noise_scale": 0.1}, "adaptive_noise_scale"),
        ({"multires_noise_discount": 0.8}, "multires_noise_discount"),
        ({"min_timestep": 500, "max_timestep": 500}, "min_timestep"),
        ({"timestep_mean": 1.0, "timestep_sampling": "mode"}, "timestep_mean"),
        ({"timestep_scale": 2.0, "timestep_sampling": "mode"}, "timestep_scale"),
        ({"timestep_scale": 0.0, "timestep_sampling": "logit_normal"}, "timestep_scale"),
        ({"huber_c": 0.2}, "huber_c"),
        ({"huber_scale": 2.0, "loss_type": "huber"}, "huber_scale"),
        ({"prior_caption": "1girl"}, "prior_caption"),
        ({"name": "a/b"}, "name"),
        ({"name": ""}, "name"),
        ({"save_last_n_epochs": 2}, "save_last_n_epochs"),
        ({"save_last_n_steps_state": 2, "save_every_n_steps": 1}, "save_last_n_steps_state"),
        ({"ema_file": "instead"}, "ema_file"),
        ({"metadata": False, "metadata_title": "a"}, "metadata_title"),
        ({"caption_extension": "txt"}, "caption_extension"),
    ],
)
def test_values_that_cannot_work_are_errors_naming_the_field(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(values)
    assert caught.value.where == field


def test_unknown_option_is_an_error_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match="did you mean learning_rate"):
        make_config({"lerning_rate": 1e-4})
    with pytest.raises(ConfigError, match="did you mean save_every_n_epochs"):
        make_config({"save_every_epochs": 1})
    with pytest.raises(ConfigError, match="did you mean epochs"):
        parse_config("epoch = 3")
    with pytest.raises(ConfigError, match="did you mean rank"):
        TrainConfig().replaced(ranks=3)


def test_toml_may_be_flat_or_in_tables(tmp_path: Path) -> None:
    tables = '[network]\nrank = 8\n[data]\nresolution = 256\nimages = "x"\n'
    flat = 'rank = 8\nresolution = [256, 256]\nimages = "x"\n'
    (tmp_path / "a.toml").write_text(tables, encoding="utf-8")
    assert load_config(tmp_path / "a.toml") == parse_config(flat)
    assert parse_config(flat).resolution == (256, 256)


@pytest.mark.parametrize(
    "text", ["rank = ", "[network", "rank = 8\nrank = 9", "rank = 8\n[network]\nrank = 9", "= 3", "[[[]]"]
)
def test_broken_toml_is_a_config_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"a\.toml"):
        load_config(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "gone.toml")


def test_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().rank = 3  # type: ignore[misc]
