"""What `lyco train` takes: our words, sd-scripts' words, and files of both."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from lib_lyco.entry.cli import main
from lib_lyco.entry.device import add_device_flag
from lib_lyco.entry.training_input import add_training_input, marked, read_training_input
from lib_lyco.errors import ConfigError
from lib_lyco.train.config import TrainConfig


def read(*words: str) -> TrainConfig:
    parser = argparse.ArgumentParser()
    add_training_input(parser)
    add_device_flag(parser)
    return read_training_input(parser.parse_args(marked(words)))


def test_our_words_and_a_file_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("rank = 8\nalpha = 4\n", encoding="utf-8")
    config = read(str(path), "--rank", "16", "--seed=3")
    assert (config.rank, config.alpha, config.seed) == (16, 4.0, 3)


def test_sd_scripts_words_are_known_by_their_flags(capsys: pytest.CaptureFixture[str]) -> None:
    config = read("--device", "cpu", "--network_dim=8", "--network_args", "conv_dim=4", "--seed", "3")
    assert (config.rank, config.conv_rank, config.seed, config.algo) == (8, 4, 3, "locon")
    assert (config.scheduler, config.learning_rate) == ("constant", 2e-6)
    assert "learning_rate (default)" in capsys.readouterr().err


def test_options_may_be_spelled_as_in_a_config() -> None:
    config = read("--batch_size=2", "--learning_rate", "1e-3", "--no-flip")
    assert (config.batch_size, config.learning_rate, config.flip) == (2, 1e-3, False)


def test_an_unknown_flag_is_told_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--lerning-rate=1"]) == 2
    assert "did you mean learning-rate?" in capsys.readouterr().err


def test_a_whole_command_of_the_sdxl_trainer() -> None:
    assert read("path/sdxl_train_network.py", "--network_dim=8").base_family == "sdxl"
    assert read("--kohya", "sdxl_train_network.py", "--seed=1").base_family == "sdxl"


def test_files_of_others_with_flags_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "train.sh"
    path.write_text("python train_network.py --network_dim=8 --learning_rate=1e-4", encoding="utf-8")
    config = read(str(path), "--rank", "4")
    assert (config.rank, config.learning_rate) == (4, 1e-4)


def test_flags_of_the_command_may_stand_among_sd_scripts() -> None:
    words = marked(["--network_dim=8", "--processes", "2", "--all-images", "--seed=1", "--json"])
    mark = words.index("--kohya")
    assert set(words[:mark]) == {"--processes=2", "--all-images", "--json"}
    assert words[mark + 1 :] == ["--network_dim=8", "--seed=1"]


def test_a_config_beside_flags_of_sd_scripts_is_told_in_our_words(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("rank = 8\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="--rank for --network_dim, --images for --train_data_dir"):
        read(str(path), "--network_dim=16", "--train_data_dir", "cats")
