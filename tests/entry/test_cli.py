"""The command line: commands found, errors told, streams that cannot show everything."""

from __future__ import annotations

import argparse
import io
import subprocess
import sys

import pytest

from lib_lyco.entry import cli
from lib_lyco.entry.cli import COMMANDS, main
from lib_lyco.entry.terminal import survive_any_encoding, table
from lib_lyco.errors import ConfigError
from tests.architecture import ROOT


class Failing:
    """A command that fails as told."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--size", type=int)

    def run(self, arguments: argparse.Namespace) -> None:
        del arguments
        raise self.error


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    command = Failing(error)

    def load(name: str) -> cli.Command:
        assert name in COMMANDS
        return command

    monkeypatch.setattr(cli, "load_command", load)


def test_help_lists_every_command() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "lib_lyco", "--help"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert all(f"  {name} " in run.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([name, "--help"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: lyco {name}")


def test_error_of_the_user_is_a_message_without_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(
        monkeypatch, ConfigError("The rank is wrong.", where="rank", got="0", expected="1", remedy="Say 1.")
    )
    assert main(["train"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "The rank is wrong.\n  where: rank\n  got: 0\n  expected: 1\n  to do: Say 1.\n"


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, ConfigError("No."))
    with pytest.raises(ConfigError):
        main(["train", "--debug"])


def test_file_trouble_is_told_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, FileNotFoundError(2, "No such file", "cat.toml"))
    assert main(["inspect"]) == 2
    assert "cat.toml" in capsys.readouterr().err


def test_our_own_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, KeyError("down"))
    with pytest.raises(KeyError):
        main(["train"])


def test_interrupt_ends_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    assert main(["train"]) == 130
    assert capsys.readouterr().err == "Stopped.\n"


@pytest.mark.parametrize("arguments", [[], ["paint"], ["generate", "--size", "big"]])
def test_wrong_usage_exits_with_two(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, AssertionError("must not run"))
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2


def test_a_console_of_another_code_page_shows_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    console = io.TextIOWrapper(raw, encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", console)
    survive_any_encoding()
    console.write("猫 café")
    console.flush()
    assert raw.getvalue() == "? café".encode("cp1252")


def test_table_aligns_its_columns() -> None:
    assert table(["algo", "MB"], [["lora", "1.5"], ["diag-oft", "12"]]).splitlines() == [
        "algo       MB",
        "--------  ---",
        "lora      1.5",
        "diag-oft   12",
    ]
