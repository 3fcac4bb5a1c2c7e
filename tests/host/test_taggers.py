"""Captions by what the WebUI has for looking at images, beside what its own interrogation says."""

from __future__ import annotations

import base64
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.host.driver import Host

COLOURS = {"red": (250, 20, 10), "yellow": (230, 200, 0), "grey": (128, 128, 128), "black": (0, 0, 0)}
PATIENCE = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of one colour each, of no square shape."""
    for name, colour in COLOURS.items():
        Image.new("RGB", (96, 64), colour).save(tmp_path / f"{name}.png")
    return tmp_path


@pytest.fixture
def booru(webui: Host) -> Generator[Host]:
    """The WebUI with a stand-in for DeepBooru's weights."""
    webui.ask("put_booru")
    yield webui
    webui.ask("take_booru")


def tagger(host: Host, id: str) -> dict[str, Any]:
    """What the tab is told of a tagger."""
    found = host.request("GET", "/lyco/train/dataset/taggers")["taggers"]
    return next(one for one in found if one["id"] == id)


def interrogated(host: Host, picture: Path) -> str:
    """The WebUI's own tags."""
    image = base64.b64encode(picture.read_bytes()).decode()
    body = {"image": image, "model": "deepdanbooru"}
    return host.request("POST", "/sdapi/v1/interrogate", body)["caption"]


def test_deepbooru_in_the_tab_says_what_interrogate_says(booru: Host, folder: Path) -> None:
    assert tagger(booru, "deepbooru")["problem"] == ""
    threshold = 0.3
    booru.set_options(
        interrogate_deepbooru_score_threshold=threshold, deepbooru_sort_alpha=False, deepbooru_escape=False
    )
    expected = {name: interrogated(booru, folder / f"{name}.png") for name in COLOURS}
    assert expected == {
        "red": "red thing",
        "yellow": "red thing, green thing",
        "grey": "red thing, green thing, blue thing",
        "black": "",
    }
    names = [f"{name}.png" for name in COLOURS]
    wish = {"mode": "replace", "threshold": threshold}
    body = {"folder": str(folder), "config": {}, "names": names, "tagger": "deepbooru", "wish": wish}
    booru.request("POST", "/lyco/train/dataset/tag", body)
    end = time.monotonic() + PATIENCE
    while (job := booru.request("GET", "/lyco/train/dataset/job")["job"])["state"] == "running":
        assert time.monotonic() < end
        time.sleep(0.1)
    assert (job["problem"], job["done"]) == ("", len(names))
    texts = [(folder / f"{name}.txt") for name in COLOURS]
    found = {one.stem: one.read_text(encoding="utf-8").strip() for one in texts if one.is_file()}
    assert {name: found.get(name, "") for name in COLOURS} == expected


def test_what_is_not_on_this_machine_is_told(webui: Host) -> None:
    for id, button in (("deepbooru", "DeepBooru"), ("blip", "CLIP")):
        problem = tagger(webui, id)["problem"]
        assert "not on this machine" in problem and f"Interrogate {button}" in problem


@pytest.mark.parametrize("is_loaded", [False, True])
def test_blip_says_what_interrogate_says_by_the_webuis_settings(
    webui: Host, folder: Path, is_loaded: bool
) -> None:
    webui.set_options(interrogate_clip_num_beams=3, interrogate_clip_min_length=7)
    found = webui.ask("caption", image=str(folder / "yellow.png"), is_loaded=is_loaded)
    assert found["sentence"] == [found["expected"], "sentence"]
    assert "by 3 beams in 7 to" in found["expected"]
    assert (found["dtype"], found["place"], found["clip"]) == ("torch.float64", "cpu", True)
