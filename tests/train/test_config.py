"""The one declaration of options: bounds, TOML and flags derive from it."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from lib_lyco.errors import ConfigError
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.train.config_file import dump_config, load_config, parse_config
from lib_lyco.train.config_flags import add_flags, flag_values
from lib_lyco.train.option import Declaration, declarations

EVERY = declarations(TrainConfig)


VALUES: dict[str, Any] = {
    # where no value can be made up from the declaration
    "dropout": 0.1,
    "rank_dropout": 0.1,
    "module_dropout": 0.1,
    "down_lr_weight": "sine+0.25",
    "mid_lr_weight": "0.5",
    "up_lr_weight": "0,,1",
    "unet_stop_share": 0.5,
    "te_stop_share": 0.5,
    "warmup_share": 0.1,
    "scheduler_rules": "1:100,0.5:200,0.1",
    "optimizer_type": "Prodigy",
    "optimizer_args": ("betas=(0.9, 0.99)", "eps=1e-7"),
}


def other_value(declaration: Declaration) -> Any:
    """A value that is allowed and not the default."""
    option, default = declaration.option, declaration.default
    if declaration.name in VALUES:
        return VALUES[declaration.name]
    if option.choices:
        return next(choice for choice in option.choices if choice != default)
    if declaration.kind is bool:
        return not default
    if declaration.kind is tuple:
        return ("one", "two") if declaration.item is str else (64, 128)
    if declaration.kind is str:
        return ".txt" if declaration.name == "caption_extension" else "other"
    if option.high is not None and option.high <= 1:
        return option.high / 2
    number = min((option.multiple_of or 1) * 16, int(option.high or 128))
    return number if number != default else option.multiple_of or number + 1


@pytest.mark.parametrize("declaration", EVERY, ids=lambda declaration: declaration.name)
def test_every_option_has_help_and_a_group_and_survives_toml_and_flags(declaration: Declaration) -> None:
    assert declaration.option.help.endswith(".")
    assert declaration.option.group
    parser = argparse.ArgumentParser()
    add_flags(parser)
    value = other_value(declaration)
    assert value != declaration.default
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
    "prior_loss_weight": {"reg_images": "folder"},
    "reg_prior_prediction": {"reg_images": "folder"},
    "resolution": {"bucket_min": 64},
    "bucket_max": {"bucket_min": 16, "resolution": (16, 16)},
    "random_crop": {"latent_cache": "off"},
    "color_aug": {"latent_cache": "off"},
    "face_crop_aug_range": {"latent_cache": "off"},
    "token_warmup_min": {"token_warmup_step": 10.0},
    "tag_dropout_keep": {"caption_tag_dropout_rate": 0.5},
    "factor": {"algo": "lokr"},
    "decompose_both": {"algo": "lokr"},
    "constraint": {"algo": "boft"},
    "rescaled": {"algo": "boft"},
    "full_matrix": {"algo": "lokr"},
    "unbalanced_factorization": {"algo": "lokr"},
    "block_size": {"algo": "dylora"},
    "min_rank": {"algo": "tlora"},
    "rank_exponent": {"algo": "tlora"},
    "sig_type": {"algo": "tlora"},
    "use_data_init": {"algo": "tlora"},
    "wd_on_output": {"dora": True},
    "blocks_lr_zero_threshold": {"mid_lr_weight": "1"},
    "dim_from_weights": {"network_weights": "some.safetensors"},
    "base_weights_multiplier": {"base_weights": ("one", "two")},
    "bypass_mode": {"layer_math": "lycoris"},
    "warmup_steps": {"scheduler": "cosine"},
    "decay_steps": {"scheduler": "warmup_stable_decay"},
    "decay_share": {"scheduler": "warmup_stable_decay"},
    "scheduler_cycles": {"scheduler": "cosine_with_restarts"},
    "scheduler_power": {"scheduler": "polynomial"},
    "scheduler_timescale": {"scheduler": "inverse_sqrt"},
    "scheduler_min_ratio": {"scheduler": "cosine_with_min_lr"},
    "scheduler_rules": {"scheduler": "piecewise_constant"},
    "save_last_n_epochs": {"save_every_n_epochs": 1},
    "save_last_n_steps": {"save_every_n_steps": 1},
    "save_last_n_epochs_state": {"save_n_epoch_ratio": 2, "save_state": True},
    "save_last_n_steps_state": {"save_every_n_steps": 1, "save_state": True},
    "ema_file": {"ema_decay": 0.9},
    "log_tracker_config": {"log_with": "wandb"},
    "wandb_run_name": {"log_with": "wandb"},
    "wandb_key_file": {"log_with": "all"},
    "validate_every_n_steps": {"validation_split": 0.5},
    "validate_every_n_epochs": {"validation_split": 0.5},
    "max_validation_steps": {"validation_images": "other"},
    "sample_every_n_steps": {"sample_prompts": "a.txt"},
    "sample_every_n_epochs": {"sample_prompts": "a.txt"},
    "sample_at_first": {"sample_prompts": "a.txt"},
    "noise_offset_random_strength": {"noise_offset": 0.1},
    "adaptive_noise_scale": {"noise_offset": 0.1},
    "noise_offset_by_timestep": {"noise_offset": 0.1},
    "multires_noise_discount": {"multires_noise_iterations": 6},
    "ip_noise_gamma_random_strength": {"ip_noise_gamma": 0.1},
    "timestep_mean": {"timestep_sampling": "logit_normal"},
    "timestep_scale": {"timestep_sampling": "logit_normal"},
    "zero_terminal_snr_weights": {"zero_terminal_snr": True},
    "huber_schedule": {"loss_type": "huber"},
    "huber_c": {"loss_type": "smooth_l1"},
    "huber_scale": {"loss_type": "huber", "huber_schedule": "constant"},
    "prior_caption": {"prior_prediction_weight": 1.0},
    "masked_prior_weight": {"alpha_mask": True},
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
        ({"color_aug": "kohya"}, "latent_cache"),
        ({"face_crop_aug_range": (2.0, 4.0)}, "latent_cache"),
        ({"face_crop_aug_range": (4.0, 2.0), "latent_cache": "off"}, "face_crop_aug_range"),
        ({"alpha_mask": True, "mask_folder": "masks"}, "mask_folder"),
        ({"caption_separator": ""}, "caption_separator"),
        ({"caption_dropout_rate": 1.1}, "caption_dropout_rate"),
        ({"token_warmup_min": 2}, "token_warmup_min"),
        ({"max_token_length": 100}, "max_token_length"),
        ({"algo": "dylora", "rank": 10}, "block_size"),
        ({"algo": "tlora", "rank": 4, "min_rank": 5}, "min_rank"),
        ({"min_rank": 2}, "min_rank"),
        ({"sig_type": "first", "algo": "tlora"}, "sig_type"),
        ({"dropout": 0.1, "layer_math": "lycoris", "algo": "tlora"}, "layer_math"),
        ({"factor": 8}, "factor"),
        ({"tucker": True, "algo": "ia3"}, "tucker"),
        ({"dropout": 0.1, "algo": "loha"}, "dropout"),
        ({"dropout": 0.1, "dora": True}, "dropout"),
        ({"dropout": 0.1, "layer_math": "lycoris"}, "layer_math"),
        ({"rank_dropout": 0.1, "algo": "dylora"}, "rank_dropout"),
        ({"rank_dropout": 1.0}, "rank_dropout"),
        ({"block_size": 8}, "block_size"),
        ({"full_matrix": True}, "full_matrix"),
        ({"rescaled": True, "algo": "loha"}, "rescaled"),
        ({"use_scalar": True, "algo": "full"}, "use_scalar"),
        ({"wd_on_output": False}, "wd_on_output"),
        ({"dim_from_weights": True}, "dim_from_weights"),
        ({"base_weights_multiplier": (1.0,)}, "base_weights_multiplier"),
        ({"blocks_lr_zero_threshold": 0.1}, "blocks_lr_zero_threshold"),
        ({"down_lr_weight": "sinus"}, "down_lr_weight"),
        ({"up_lr_weight": "1," * 12 + "1"}, "up_lr_weight"),
        ({"bypass_mode": True}, "bypass_mode"),
        ({"bypass_mode": True, "layer_math": "lycoris", "algo": "full"}, "bypass_mode"),
        ({"include_layers": ("(",)}, "include_layers"),
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
        ({"wandb_run_name": "a", "log_with": "tensorboard"}, "wandb_run_name"),
        ({"validation_split": 0.1, "validation_images": "a"}, "validation_images"),
        ({"max_validation_steps": 2}, "max_validation_steps"),
        ({"sample_at_first": True}, "sample_at_first"),
        ({"metadata": False, "metadata_title": "a"}, "metadata_title"),
        ({"caption_extension": "txt"}, "caption_extension"),
        ({"repeats": 2, "samples_per_epoch": 3}, "repeats"),
        ({"repeats": 0}, "repeats"),
        ({"extra_resolutions": (64, 100)}, "extra_resolutions"),
        ({"prior_loss_weight": 0.5}, "prior_loss_weight"),
        ({"tag_dropout_keep": ("cat",)}, "tag_dropout_keep"),
        ({"masked_prior_weight": 0.5}, "masked_prior_weight"),
        (
            {"noise_offset_by_timestep": True, "noise_offset": 0.5, "zero_terminal_snr": True},
            "noise_offset_by_timestep",
        ),
        ({"reg_prior_prediction": True}, "reg_prior_prediction"),
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


AWKWARD = (
    r"C:\x\nai\u.ckpt",
    "a, b",
    ",",
    '"',
    'say "x", \\u',
    "[a]",
    "{a|b}",
    "a\nb",
    "'",
    "#",
    r"\{",
    "猫",
)


@pytest.mark.parametrize("text", AWKWARD)
def test_any_text_survives_toml(text: str) -> None:
    config = make_config({"images": text, "include_layers": ("q", re.escape(text))})
    written = dump_config(config)
    assert parse_config(written) == config
    if sys.version_info >= (3, 11):  # another reader than ours
        tables = importlib.import_module("tomllib").loads(written)
        assert tables["data"]["images"] == text
        assert tables["network"]["include_layers"] == ["q", re.escape(text)]
