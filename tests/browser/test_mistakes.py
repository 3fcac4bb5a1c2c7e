"""What the parser says of a mistake in a tag is Japanese on a Japanese page, but for what was written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import Page

from lib_lyco.errors import one_line
from lib_lyco.prompt.tags import parse_prompt

TEXTS = Path(__file__).parent.parent.parent / "localizations" / "ja_JP.json"
ENGLISH = re.compile(
    r"\b(the|is|it|its|cannot|of|tag|tags|expected|got|such|did|mean|mend|one|number|there|are|or|no|not|with)\b",
    re.IGNORECASE,
)

MISTAKES = (
    *("<lora: >", "<lora:a:1:2:3:4>", "<lora:a:1:unte=0.5>", "<lora:a:te=1:te=2>", "<lora:a:te=much>"),
    *("<lora:a:much>", "<lora:a:b c:0.8>", "<lora:a:dyn=0>", "<lora:a:dyn=x>", "<lora:a:0,8>"),
    *("<lora:a:start=5:stop=3>", "<lora:a:start=1:step=5-10>", "<lora:a:step=9>", "<lora:a:x=2>"),
    *("<lora:a:lbw=MIDDD>", "<lora:a:lbw=IN05-OUT55>", "<lora:a:IN05-OUT55>", "<lora:a:lbw=>"),
    *("<lora:a:lbw=1,1,1>", "<lora:a:1,1,1,1,1,1>", f"<lora:a:lbw={','.join('R' * 12)}>"),
    *(f"<lora:a:lbw={','.join('y' * 12)}>", "<lora:a:lbwe=ATTNDEP>", "<lora:a:unet=1@2@3>"),
)


@pytest.mark.parametrize("tag", MISTAKES)
def test_a_mistake_is_told_in_japanese(page: Page, tag: str) -> None:
    (problem,) = parse_prompt(tag).problems
    english = one_line(problem).replace(f"{tag}: ", "")
    page.evaluate("texts => { window.localization = texts; }", json.loads(TEXTS.read_text("utf-8")))
    told: str = page.evaluate("text => lyco.sayMade(text)", english)
    # what the user wrote, and what can be written
    bare = re.sub(r"'[^']*'", "", told)
    assert ENGLISH.findall(english) and ENGLISH.findall(bare) == [], told
    assert set(re.findall(r"'[^']*'", told)) == set(re.findall(r"'[^']*'", english))
