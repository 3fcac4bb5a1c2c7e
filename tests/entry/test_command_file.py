"""Words in a file control a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lib_lyco.entry.command_file import WORDS, commanded, obey
from lib_lyco.train.control import Asked, Control


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("pause", Asked(pause=True)),
        ("save\nsample\n", Asked(save=True, sample=True)),
        ("STOP", Asked(stop=True)),
        ("pause resume", Asked()),
    ],
)
def test_words_are_obeyed_once(tmp_path: Path, words: str, asked: Asked) -> None:
    control, path = Control(), tmp_path / "net.command"
    obey(control, path)
    path.write_text(words, encoding="utf-8")
    obey(control, path)
    assert control.take() == asked
    assert not path.exists()
    assert not control.take().save


def test_unknown_word_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    control, path = Control(), tmp_path / "net.command"
    path.write_text("halt", encoding="utf-8")
    obey(control, path)
    assert control.take() == Asked()
    told = capsys.readouterr().err
    assert all(word in told for word in ("halt", *WORDS))


def test_file_is_looked_at_while_the_run_goes(tmp_path: Path) -> None:
    control, path = Control(), tmp_path / "net.command"
    with commanded(control, path):
        path.write_text("stop", encoding="utf-8")
        assert comes_true(lambda: control.stop_requested)
    path.write_text("pause", encoding="utf-8")
    time.sleep(0.7)
    assert path.exists()


def comes_true(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether it does within that time."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()
