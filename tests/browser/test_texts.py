"""What the scripts say can be said in Japanese, and the made-up server answers as the real one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.browser.fake_api import FakeApi
from tests.browser.made_up import some

ROOT = Path(__file__).parent.parent.parent
SAMPLES = Path(__file__).parent / "samples"


def test_every_text_has_its_japanese() -> None:
    scripts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "javascript").glob("*.js"))
    said = set(re.findall(r'lyco\.say\(\s*"([^"]+)"', scripts))
    said |= set(re.findall(r'^    \w+: \["([^"]+)", (?:true|false)\]', scripts, re.MULTILINE))
    said |= set(re.findall(r'\? "([^"]+)" : "steps', scripts))
    texts = json.loads((ROOT / "localizations" / "ja_JP.json").read_text(encoding="utf-8"))
    assert len(said) > 70
    assert said - texts.keys() == set()
    for text in said:
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", texts[text])), text


def test_no_script_reads_text_as_html() -> None:
    for path in (ROOT / "javascript").glob("*.js"):
        script = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", script), (
            path
        )


@pytest.mark.parametrize(
    ("sample", "path", "query"),
    [
        ("cards.json", "cards", {"text": "", "folder": "", "starred": "0", "sort": "name", "desc": "0"}),
        ("revision.json", "cards/revision", {}),
        ("folders.json", "folders", {}),
    ],
)
def test_the_made_up_answers_have_the_fields_of_the_real_ones(
    sample: str, path: str, query: dict[str, str]
) -> None:
    real = json.loads((SAMPLES / sample).read_text(encoding="utf-8"))
    status, made_up = FakeApi(some()).answer("GET", path, {**query, "offset": "0", "limit": "9"}, {})
    assert status == 200
    assert made_up.keys() == real.keys()
    for name in ("cards", "folders"):
        if name in real:
            assert made_up[name][0].keys() == real[name][0].keys()


def test_made_up_tags_have_the_fields_of_the_real_ones() -> None:
    real = json.loads((SAMPLES / "parse.json").read_text(encoding="utf-8"))
    _, made_up = FakeApi(some()).answer("POST", "parse", {}, {"prompt": "<lora:ink:1>"})
    assert made_up["tags"][0].keys() == real["tags"][0].keys()
