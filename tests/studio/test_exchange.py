"""What is exported says the same when it is read, and what others have written is understood."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from lib_lyco.errors import ConfigError, UnsafeFileError
from lib_lyco.studio.exchange import export_text, import_text
from lib_lyco.studio.presets import built_in
from lib_lyco.train.config import make_config
from lib_lyco.train.config_file import parse_config
from lib_lyco.train.config_flags import add_flags, flag_values
from lib_lyco.train.option import Declaration
from tests.train.test_config import COMPANIONS, EVERY, other_value

VALUES: dict[str, Any] = {
    "images": "/my cats/it's",
    "rank": 4,
    "te_learning_rate": [1e-5, 2e-5],
    "optimizer_args": ["betas=(0.9, 0.99)", "eps=1e-7"],
    "buckets": False,
    "shuffle_caption": True,
    "resolution": [640, 448],
    "caption_prefix": "-- a, b",
    "max_steps": 7,
    "include_layers": ["attn1", "mid_block"],
}


def _read(text: str, tmp_path: Path) -> Any:
    return import_text(text, tmp_path, lambda path: None)


@pytest.mark.parametrize("values", [VALUES, *(one.values for one in built_in())])
def test_exports_say_the_same(values: dict[str, Any], tmp_path: Path) -> None:
    config = make_config(values)
    toml_text = export_text(config, "toml")
    assert parse_config(toml_text) == config
    words = shlex.split(export_text(config, "command"))
    assert words[:2] == ["lyco", "train"]
    parser = argparse.ArgumentParser()
    add_flags(parser)
    assert make_config(flag_values(parser.parse_args(words[2:]))) == config
    assert make_config(_read(toml_text, tmp_path)["config"]) == config


@pytest.mark.parametrize("declaration", EVERY, ids=lambda declaration: declaration.name)
def test_every_option_comes_back_from_its_export(declaration: Declaration, tmp_path: Path) -> None:
    name = declaration.name
    config = make_config({name: other_value(declaration)} | COMPANIONS.get(name, {}))
    for to in ("command", "toml"):
        found = _read(export_text(config, to), tmp_path)
        assert found["notes"] == [] and found["problem"] == ""
        assert make_config(found["config"]) == config


def test_a_command_line_of_sd_scripts(tmp_path: Path) -> None:
    line = (
        "accelerate launch --num_cpu_threads_per_process 12 train_network.py "
        "--pretrained_model_name_or_path=nai.ckpt --train_data_dir=lain --resolution=448,640 "
        "--train_batch_size=3 --learning_rate=1e-4 --max_train_steps=400 --mixed_precision=fp16 "
        "--clip_skip=2 --seed=42 --network_module=networks.lora --network_dim=32"
    )
    found = _read(line, tmp_path)["config"]
    assert found["images"] == "lain"
    assert (found["resolution"], found["batch_size"], found["max_steps"]) == ([448, 640], 3, 400)
    assert (found["clip_skip"], found["seed"], found["rank"]) == (2, 42, 32)


def test_a_file_of_kohya_ss(tmp_path: Path) -> None:
    text = json.dumps({"LoRA_type": "LyCORIS/LoHa", "network_dim": 8, "network_alpha": 1, "epoch": 3})
    found = _read(text, tmp_path)["config"]
    assert (found["algo"], found["rank"], found["epochs"]) == ("loha", 8, 3)


def test_what_contradicts_is_shown_all_the_same(tmp_path: Path) -> None:
    # sd-scripts lets warmup steps stand beside a constant rate, and ignores them
    found = _read("train_network.py --network_dim=4 --bucket_no_upscale --min_snr_gamma=30", tmp_path)
    assert found["config"]["rank"] == 4
    assert found["field"] == "min_snr_gamma"
    assert "20" in found["problem"]


def test_a_pasted_dataset_config_becomes_a_file(tmp_path: Path) -> None:
    text = '[[datasets]]\n[[datasets.subsets]]\nimage_dir = "cats"\n'
    path = Path(_read(text, tmp_path)["config"]["dataset_config"])
    assert path.parent == tmp_path
    assert path.read_text(encoding="utf-8") == text


def test_a_config_file_that_may_not_be_read_is_not(tmp_path: Path) -> None:
    asked: list[Path] = []

    def refuse(path: Path) -> None:
        asked.append(path)
        raise UnsafeFileError("no")

    with pytest.raises(UnsafeFileError):
        import_text('train_network.py --config_file "/secret/a b.toml"', tmp_path, refuse)
    assert asked == [Path("/secret/a b.toml")]


@pytest.mark.parametrize(
    "text",
    ["", "   ", "{", "hello", "lyco train a.toml --rank=4", "lyco train --rank=x", "lyco train --rnk=4"],
)
def test_nonsense_is_an_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        _read(text, tmp_path)
