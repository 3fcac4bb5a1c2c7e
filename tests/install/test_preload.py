"""preload.py adds one flag, to whose place the builtin's preload adds the default."""

from __future__ import annotations

import argparse
import os

import pytest

from tests.install.test_install import load


def builtin_preload(parser: argparse.ArgumentParser) -> None:
    """What the builtin's preload adds, in the host after ours (`extensions-builtin/Lora/preload.py`)."""
    parser.add_argument("--lora-dir", default="models/Lora")
    parser.add_argument("--lyco-dir-backcompat", default="models/LyCORIS")


@pytest.mark.parametrize(
    ("line", "folder"),
    [
        ([], "models/LyCORIS"),
        (["--lyco-dir", "mine"], os.path.abspath("mine")),
        (["--lyco-dir-backcompat", "theirs"], "theirs"),
    ],
)
def test_flag_fills_the_builtins_second_folder(line: list[str], folder: str) -> None:
    parser = argparse.ArgumentParser()
    load("preload").preload(parser)
    builtin_preload(parser)
    folders = {"lora_dir": "models/Lora", "lyco_dir_backcompat": folder}
    assert vars(parser.parse_args(line)) == {**folders, "lyco_train_dir": []}


def test_flag_of_somebody_else_is_left_alone() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lyco-dir", dest="theirs")
    load("preload").preload(parser)
    builtin_preload(parser)
    assert parser.parse_args(["--lyco-dir", "x"]).theirs == "x"


def test_without_a_builtin_the_flag_is_read_and_absent_by_default() -> None:
    parser = argparse.ArgumentParser()
    load("preload").preload(parser)
    assert vars(parser.parse_args([])) == {"lyco_train_dir": []}
    assert parser.parse_args(["--lyco-dir", os.sep]).lyco_dir_backcompat == os.sep
