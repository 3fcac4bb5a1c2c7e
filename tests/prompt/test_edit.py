"""Changing tags inside a prompt, against prompts written by hand."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lib_lyco.errors import PromptError
from lib_lyco.prompt.edit import Tag, find_tags, map_tags, place_tags, read_tag
from lib_lyco.prompt.tags import parse_prompt

PROMPT = "a (cat:1.2) <lora: my cat : 0.80 :lbw=ALL>, <hypernet:x:1> [a|b]\n<lyco:b> <lora:a:1"

TEXTS = st.text("ab=0.5@, 日<", max_size=6)


def test_tags_are_found_in_their_order() -> None:
    assert find_tags(PROMPT) == [
        Tag("lora", " my cat ", (" 0.80 ", "lbw=ALL")), Tag("lyco", "b")
    ]  # fmt: skip
    assert find_tags(PROMPT, kinds=["hypernet"]) == [Tag("hypernet", "x", ("1",))]


def test_a_tag_is_where_its_text_is() -> None:
    placed = place_tags(f"🎨{PROMPT}")
    assert [f"🎨{PROMPT}"[one.start : one.end] for one in placed] == [
        "<lora: my cat : 0.80 :lbw=ALL>", "<lyco:b>"
    ]  # fmt: skip
    assert [one.tag for one in placed] == find_tags(PROMPT)


@pytest.mark.parametrize(
    ("tag", "option", "left"),
    [
        ("<lora:a:1:lbw=MIDD:stop=5>", "lbw", "<lora:a:1:stop=5>"),
        ("<lora:a:1:MIDD>", "lbw", "<lora:a:1>"),
        ("<lora:a:1:SOFT:0.5>", "x", "<lora:a:1:SOFT>"),
        ("<lora:a:0.8:0.5:16>", "unet", "<lora:a:0.8:dyn=16>"),
        ("<lora:a:0.8:0.5>", "te", "<lora:a:unet=0.5>"),
        ("<lora:a:0.8>", "lbw", "<lora:a:0.8>"),
    ],
)
def test_an_option_is_taken_out_and_the_others_mean_what_they_meant(
    tag: str, option: str, left: str
) -> None:
    assert str(read_tag(tag).without_option(option)) == left


def test_everything_but_the_changed_tags_stays_as_it_is() -> None:
    assert map_tags(PROMPT, lambda tag: tag) == PROMPT
    renamed = map_tags(PROMPT, lambda tag: tag.with_name("dog") if tag.name == "b" else tag)
    assert renamed == PROMPT.replace("<lyco:b>", "<lyco:dog>")
    assert map_tags(PROMPT, lambda tag: None, kinds=["lyco"]) == PROMPT.replace("<lyco:b>", "")


@given(st.from_regex(r"\w+", fullmatch=True), TEXTS, st.lists(TEXTS, max_size=4))
def test_tag_and_its_text_are_the_same(kind: str, name: str, options: list[str]) -> None:
    assume(name or options)
    tag = Tag(kind, name, tuple(options))
    assert read_tag(str(tag)) == tag
    assert find_tags(f"x{tag}y", [kind]) == [tag]


@pytest.mark.parametrize(("name", "option"), [("a:b", "1"), ("a>", "1"), ("a", "1:2"), ("a", "1>")])
def test_text_that_would_end_a_tag_is_refused(name: str, option: str) -> None:
    with pytest.raises(PromptError, match="cannot stand in a tag"):
        Tag("lora", name, (option,))
    with pytest.raises(PromptError, match="no tag"):
        read_tag("lora:a:1")


@pytest.mark.parametrize(
    ("tag", "option", "text", "changed"),
    [
        ("<lora:a:0.8:0.5>", "unet", "1", "<lora:a:0.8:1>"),
        ("<lora:a:0.8:0.5:16>", "te", "1", "<lora:a:1:0.5:16>"),
        ("<lora:a:0.8>", "unet", "1", "<lora:a:0.8:unet=1>"),
        ("<lora:a:0.8>", "te", "1", "<lora:a:1:unet=0.8>"),
        ("<lora:a>", "te", "0", "<lora:a:0:unet=1>"),
        ("<lora:a:te=0.3>", "te", "1", "<lora:a:te=1:unet=0.3>"),
        ("<lora:a:0.8:te=0.3>", "te", "1", "<lora:a:0.8:te=1:unet=0.3>"),
        ("<lora:a:1:IN04>", "lbw", "MIDD", "<lora:a:1:MIDD>"),
        ("<lora:a:1:w=IN04>", "lbw", "MIDD", "<lora:a:1:lbw=MIDD>"),
        ("<lora:a:1:stop=5>", "lbw", "MIDD", "<lora:a:1:stop=5:lbw=MIDD>"),
        ("<lora:a:1:IN04:0.5>", "te", "0.7", "<lora:a:0.7:IN04:0.5:unet=1>"),
        ("<lora:a:1:stop=5>", "stop", "8", "<lora:a:1:stop=8>"),
    ],
)
def test_one_option_is_changed_where_it_stands(tag: str, option: str, text: str, changed: str) -> None:
    assert str(read_tag(tag).with_option(option, text)) == changed


@pytest.mark.parametrize(
    ("tag", "changed"),
    [
        ("<lora:a>", "<lora:a:0.5>"),
        ("<lora:a:0.8:1:16>", "<lora:a:0.5:0.5:16>"),
        ("<lora:a:stop=5>", "<lora:a:0.5:stop=5>"),
        ("<lora:a:unet=1:te=0.2>", "<lora:a:unet=0.5:te=0.5>"),
        ("<lora:a:IN04>", "<lora:a:IN04:te=0.5>"),
    ],
)
def test_one_strength_for_both(tag: str, changed: str) -> None:
    assert str(read_tag(tag).with_strength("0.5")) == changed


@given(
    st.lists(
        st.sampled_from(["0.8", "0.5", "IN04", "x=0.5", "te=1", "unet=0@0,1@1", "hr=0", "stop=5"]),
        max_size=5,
    ),
    st.sampled_from([("te", "0.1"), ("unet", "0.1"), ("hrunet", "0.1"), ("lbw", "MIDD"), ("stop", "9")]),
)
def test_every_other_option_keeps_its_meaning(options: list[str], change: tuple[str, str]) -> None:
    tag = Tag("lora", "a", tuple(options))
    before = parse_prompt(str(tag))
    assume(not before.problems)
    (old,), (new,) = before.requests, parse_prompt(str(tag.with_option(*change))).requests
    told = {
        "te": ("te", "hr_te"), "unet": ("unet", "hr_unet"), "hrunet": ("hr_unet",), "lbw": ("blocks",),
        "stop": ("unet", "hr_unet"),
    }[change[0]]  # fmt: skip
    for field in ("te", "unet", "rank", "blocks", "hr_te", "hr_unet"):
        assert getattr(old, field) == getattr(new, field) or field in told
