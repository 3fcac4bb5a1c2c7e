"""`lyco import`: what it prints is a config, with its notes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_lyco.entry.cli import main
from lib_lyco.train.config_file import load_config


def test_import_prints_a_config_that_train_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "train.bat"
    script.write_text(
        "set dim=8\npython train_network.py --network_dim=%dim% --network_alpha=16 ^\n--xformers\n",
        encoding="utf-8",
    )
    assert main(["import", str(script)]) == 0
    printed = capsys.readouterr()
    assert "# xformers (obsolete)" in printed.out
    assert "attention: network_alpha" in printed.err
    (tmp_path / "a.toml").write_text(printed.out, encoding="utf-8")
    config = load_config(tmp_path / "a.toml")
    assert (config.rank, config.alpha, config.scheduler) == (8, 16.0, "constant")


def test_an_unknown_flag_is_told_with_the_nearest(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script = tmp_path / "a.sh"
    script.write_text("python train_network.py --network_dims=8", encoding="utf-8")
    assert main(["import", str(script)]) == 2
    assert "did you mean --network_dim?" in capsys.readouterr().err
