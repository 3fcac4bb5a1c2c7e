"""Tags of captions, by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from lib_lyco.errors import ConfigError
from lib_lyco.studio.dataset.actions import Context, edit_of
from lib_lyco.studio.dataset.tagger import Category
from lib_lyco.studio.dataset.tags import Grammar, ordered

PLAIN = Grammar()
KINDS: dict[str, Category] = {
    "hatsune_miku": "character",
    "vocaloid": "series",
    "fate_(series)": "series",
    "hat": "general",
}
CONTEXT = Context(PLAIN, 1, {"sky": 3, "hat": 5, "cat": 3}, {"wd": KINDS}.__getitem__)


@pytest.mark.parametrize(
    ("action", "body", "line", "wanted"),
    [
        ("add", {"tags": ["smile", "hat"]}, "1girl, hat", "1girl, hat, smile"),
        ("add_front", {"tags": ["smile", "hat"]}, "1girl, hat", "smile, 1girl, hat"),
        ("remove", {"tags": ["hat", "cat"]}, "hat, 1girl, red hat", "1girl, red hat"),
        ("replace", {"old": "hat", "tags": ["cap", "1girl"]}, "1girl, hat, sky", "1girl, cap, sky"),
        ("replace", {"old": "hat", "tags": []}, "1girl, hat", "1girl"),
        ("trigger", {"tags": ["sks"]}, "1girl, sks, hat", "sks, 1girl, hat"),
        ("trigger", {"tags": ["sks"]}, "", "sks"),
        ("dedupe", {}, "Hat, 1girl, hat, HAT", "Hat, 1girl"),
        ("dedupe", {}, r"red_hat, red hat, a \(b\), a_(b)", r"red_hat, a \(b\)"),
        ("sort", {}, "zed, sky, Arm, cat", "zed, Arm, cat, sky"),
        ("sort", {"by": "frequency"}, "zed, sky, new, cat, hat", "zed, hat, cat, sky, new"),
        ("clean", {}, "b, a, a", "b, a, a"),
        (
            "clean",
            {"gone": ["series"], "tagger": "wd", "dedupe": True, "by": "frequency", "tags": ["sks"]},
            r"sky, hatsune miku, Vocaloid, fate \(series\), hat, Hat",
            "sks, sky, hat, hatsune miku",
        ),
        ("clean", {"gone": ["character"], "tagger": "wd"}, "hatsune_miku, hat", "hat"),
        ("find", {"find": "red hat", "with": "blue cap"}, "a red hats, red hat", "a blue caps, blue cap"),
        ("remove", {"tags": ["none"]}, "kept ,as it,is", "kept ,as it,is"),
    ],
)
def test_actions(action: str, body: dict[str, object], line: str, wanted: str) -> None:
    change, label = edit_of(action, body, CONTEXT)
    assert change(line) == wanted
    assert label


@pytest.mark.parametrize("body", [{}, {"tags": [" "]}, {"tags": "hat"}, {"tags": [3]}])
def test_actions_without_tags_are_refused(body: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        edit_of("add", body, CONTEXT)
    with pytest.raises(ConfigError):
        edit_of("explode", {}, CONTEXT)


def test_first_line_alone_is_a_caption_unless_all_are() -> None:
    change, _ = edit_of("add", {"tags": ["x"]}, CONTEXT)
    text = "a, b\n\nc\n"
    assert PLAIN.changed(text, change) == "a, b, x\n\nc"
    assert Grammar(all_lines=True).changed(text, change) == "a, b, x\n\nc, x"


def test_brackets_stay_together_where_they_weigh() -> None:
    line = "(red hat, cat:1.2), sky"
    assert Grammar(weighted=True).split(line) == ["(red hat, cat:1.2)", "sky"]
    assert PLAIN.split(line) == ["(red hat", "cat:1.2)", "sky"]
    assert Grammar(separator="|").join(["a", "b"]) == "a| b"


def test_the_most_frequent_comes_first() -> None:
    assert ordered(Counter({"sky": 1, "hat": 2, "cat": 2})) == [("cat", 2), ("hat", 2), ("sky", 1)]
