"""The page: everything the demo made is on it, and nothing that a name contains breaks it."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lib_lyco.demo.curve import loss_curve
from lib_lyco.demo.experiment import Outcome, State
from lib_lyco.demo.page import Result, write_page

VOID = ("meta", "img", "br", "link", "line", "polyline")


class Reader(HTMLParser):
    """Collects what a browser would fetch and show, and checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.sources += [named["src"] or ""] if "src" in named else []
        self.links += [named["href"] or ""] if "href" in named else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del tag, attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def outcome(algo: str) -> Outcome:
    return Outcome(
        algo=algo,
        network=Path(f"{algo}/{algo}.safetensors"),
        file_bytes=123 * 1024,
        layers="192 of 192 unet; 72 of 72 te1",
        train_seconds=12.4,
        seconds=20.2,
        num_steps=150,
        final_loss=0.4321,
        states=(State("base model", 0.4, 0, 0), State("strength 1", 0.1, 30.5, 2.5)),
        restored=True,
        toml='comment = "<b>not bold</b>"\nrank = 8\n',
    )


def read(folder: Path, *outcomes: Outcome) -> Reader:
    for one in outcomes:
        (folder / one.algo).mkdir()
        (folder / one.algo / "loss.svg").write_text(loss_curve([1.0, 0.5], "loss"), encoding="utf-8")
    path = write_page(folder, [Result(one, 700 << 20) for one in outcomes])
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


def test_page_shows_every_algorithm_with_picture_figures_and_settings(tmp_path: Path) -> None:
    page = read(tmp_path, outcome("lora"), outcome("diag-oft"))
    for algo in ("lora", "diag-oft"):
        assert f"{algo}/comparison.png" in page.sources
        assert {f"#{algo}", f"{algo}/{algo}.safetensors"} <= set(page.links)
    for words in ("123 KB", "12 s", "700 MB", "0.4321", "0.400 → 0.100", "30.5", "rank = 8", "bit for bit"):
        assert words in page.text


def test_settings_cannot_become_markup(tmp_path: Path) -> None:
    assert "<b>not bold</b>" in read(tmp_path, outcome("lora")).text


def test_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    page = read(tmp_path, outcome("lora"))
    assert not [link for link in page.sources + page.links if ":" in link or link.startswith("/")]


def test_failed_restore_is_told(tmp_path: Path) -> None:
    page = read(tmp_path, replace(outcome("lora"), restored=False))
    assert "drew other pictures than before" in page.text


def test_distance_after_is_that_of_strength_one() -> None:
    assert (outcome("lora").distance_before, outcome("lora").distance_after) == pytest.approx((0.4, 0.1))
