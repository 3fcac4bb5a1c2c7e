"""Tags against the WebUI's documented rules, worked out by hand, and against arbitrary text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lyco.prompt.tags import parse_prompt, parse_request

READ = {
    "<lora:a>": ("a", 1.0, 1.0, None),
    "<lyco:a>": ("a", 1.0, 1.0, None),
    "<lora:a:0.8>": ("a", 0.8, 0.8, None),
    "<lora:a:0.8:0.5>": ("a", 0.8, 0.5, None),
    "<lora:a:0.8:0.5:16>": ("a", 0.8, 0.5, 16),
    "<lora:a:te=0.3>": ("a", 0.3, 0.3, None),
    "<lora:a:unet=0.3>": ("a", 1.0, 0.3, None),
    "<lora:a:0.8:unet=0.3>": ("a", 0.8, 0.3, None),
    "<lora:a:0.8:0.5:te=0.1>": ("a", 0.1, 0.5, None),
    "<lora:a:dyn=4:unet=0:te=-1>": ("a", -1.0, 0.0, 4),
    "<lora:a:dyn=4:0.7>": ("a", 0.7, 0.7, 4),
    "<lora:sub/my name=v2: 0.5 >": ("sub/my name=v2", 0.5, 0.5, None),
    "<lora:日本語:-0.5>": ("日本語", -0.5, -0.5, None),
}


@pytest.mark.parametrize("tag", READ)
def test_tag_is_read_by_the_webuis_rules(tag: str) -> None:
    (request,) = parse_prompt(f"a cat {tag}").requests
    assert request.te.is_constant and request.unet.is_constant
    assert (request.name, request.te.first, request.unet.first, request.rank) == READ[tag]
    assert request.tag == tag


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("<lora:a:strong>", "strong"),
        ("<lora:a:1:>", "''"),
        ("<lora:a:nan>", "nan"),
        ("<lora:a:te=inf>", "inf"),
        ("<lora:a:1:1:0>", "from 1 on"),
        ("<lora:a:dyn=1.5>", "1.5"),
        ("<lora:a:1:1:1:1>", "one value too many"),
        ("<lora:a:tee=1>", "tee"),
        ("<lora:a:te=1:te=2>", "twice"),
        ("<lora: >", "names no network"),
        ("<lora::1>", "names no network"),
    ],
)
def test_mistake_is_reported_with_its_tag_and_the_other_tags_work(tag: str, said: str) -> None:
    parsed = parse_prompt(f"<lora:before:0.5> a {tag} cat <lyco:after>")
    assert [request.name for request in parsed.requests] == ["before", "after"]
    (problem,) = parsed.problems
    assert problem.where == tag
    assert said in str(problem)
    assert parsed.text == " a  cat "


def test_text_keeps_everything_but_our_tags() -> None:
    prompt = "a (cat:1.2) <hypernet:x:1>, <not a tag>, [from:to:0.5] <lora:a> < b:c > <lora:>"
    parsed = parse_prompt(prompt)
    assert parsed.text == prompt.replace("<lora:a>", "")
    assert [request.name for request in parsed.requests] == ["a"]


def test_same_network_twice_is_two_requests_in_order() -> None:
    requests = parse_prompt("<lora:a:1><lora:b><lora:a:0.5>").requests
    assert [(request.name, request.te.first) for request in requests] == [
        ("a", 1.0),
        ("b", 1.0),
        ("a", 0.5),
    ]


def test_kinds_can_be_given_back() -> None:
    parsed = parse_prompt("<lora:a> <lyco:b>", kinds=["lyco"])
    assert parsed.text == "<lora:a> "
    assert [request.name for request in parsed.requests] == ["b"]


def test_items_of_the_host_are_read_like_the_tag() -> None:
    assert (
        parse_request(["a", "0.5", "dyn=3"], "<lora:a:0.5:dyn=3>")
        == (parse_prompt("<lora:a:0.5:dyn=3>").requests[0])
    )


@given(st.text("<>:=lorayc,.0159@e- \n日", max_size=60))
def test_any_text_is_parsed_or_reported_and_nothing_else_is_lost(text: str) -> None:
    parsed = parse_prompt(text)
    again = parse_prompt(parsed.text, kinds=["none"])
    assert again.text == parsed.text
    removed = len(text) - len(parsed.text)
    tags = [request.tag for request in parsed.requests] + [problem.where for problem in parsed.problems]
    assert removed == sum(len(tag) for tag in tags)
