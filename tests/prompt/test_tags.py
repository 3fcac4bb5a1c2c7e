"""Tags against the WebUI's documented rules, worked out by hand, and against arbitrary text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lyco.prompt.options import OPTIONS
from lib_lyco.prompt.presets import read_presets
from lib_lyco.prompt.schedule import read_schedule
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
        ("<lora:a:te=0,8>", "0@0,1@0.5,0@1"),
        ("<lora:a:1:unte=0.5>", "Did you mean unet"),
        ("<lora:a:1:lbw=MIDDD>", "Did you mean MIDD"),
        ("<lora:a:1:MIDDD>", "a number, such as 0.8"),
        ("<lora:a:1:IN05-OUT5>", "'OUT5' is not a block"),
        ("<lora:a:1:1,0,1>", "12, 17, 20, 26 or 61"),
        ("<lora:a:1:lbwe=MIDD>", "ATTNDEEPON"),
        ("<lora:a:1:MIDD:ATTNDEEPOFF:INS>", "one value too many"),
        ("<lora:a:1:MIDD:0.5:1>", "one value too many"),
        ("<lora:a:x=0.5>", "lbw= beside it"),
        ("<lora:a:MIDD:x=>", "such as 0.8"),
        ("<lora:a:start=-1>", "'-1'"),
        ("<lora:a:stop=0.5>", "such as 8"),
        (f"<lora:a:stop={'9' * 5000}>", "such as 8"),
        (f"<lora:a:lbw=X+{'9' * 400},1,1,1,1,1,1,1,1,1,1,1>", "it is no number"),
        ("<lora:a:step=5>", "such as 5-10"),
        ("<lora:a:step=5-x>", "'x'"),
        ("<lora:a:step=10-5>", "such as 5-10"),
        ("<lora:a:start=5:stop=5>", "not after start"),
        ("<lora:a:step=5-10:stop=5>", "say the same"),
        ("<lora:a:hr=on>", "The hr of a tag"),
        ("<lora:a:hrunet=1@>", "1@"),
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


OLD_AND_NEW = {
    "<lora:a:1:IN04>": "<lora:a:1:lbw=IN04>",
    "<lora:a:1:1:IN04>": "<lora:a:1:1:lbw=IN04>",
    "<lora:a:IN04>": "<lora:a:lbw=IN04>",
    "<lora:a:1:w=IN04>": "<lora:a:lbw=IN04>",
    "<lora:a:1:MIDD:ATTNDEEPOFF>": "<lora:a:1:lbw=MIDD:lbwe=ATTNDEEPOFF>",
    "<lora:a:0.5:X,1,1,1,1,1,1,1,1,1,1,1:0.7>": "<lora:a:0.5:lbw=X,1,1,1,1,1,1,1,1,1,1,1:x=0.7>",
    "<lora:a:0.5:0.7,1,1,1,1,1,1,1,1,1,1,1>": "<lora:a:0.5:lbw=X,1,1,1,1,1,1,1,1,1,1,1:x=0.7>",
    "<lora:a:1:step=5-10>": "<lora:a:1:start=5:stop=10>",
    "<lora:a:0@0,1@1>": "<lora:a:te=0@0,1@1:unet=0@0,1@1>",
    "<lora:a:1:0@5,1@6>": "<lora:a:te=1:unet=0@5,1@6>",
    "<lora:a:1:0@0,1@1:16>": "<lora:a:te=1:unet=0@0,1@1:dyn=16>",
    "<lora:a:1:hr=0.5>": "<lora:a:1:hrte=0.5:hrunet=0.5>",
    "<lora:a:1:hr=0.5:hrte=0.2>": "<lora:a:1:hrte=0.2:hrunet=0.5>",
}


@pytest.mark.parametrize("old", OLD_AND_NEW)
def test_old_forms_mean_the_same_as_the_named_ones(old: str) -> None:
    (request,) = parse_prompt(old).requests
    (same,) = parse_prompt(OLD_AND_NEW[old]).requests
    assert request == replace(same, tag=old)


# the test cases of sd-webui-loractl (`test_params_to_weights`): te, unet, hrte, hrunet
LORACTL = {
    "<lora:a:1.0>": ("1", "1", "1", "1"),
    "<lora:a:0.5@0,1@1:hr=0.6>": ("0.5@0,1@1", "0.5@0,1@1", "0.6", "0.6"),
    "<lora:a:te=0.5@0,1@1>": ("0.5@0,1@1", "0.5@0,1@1", "0.5@0,1@1", "0.5@0,1@1"),
    "<lora:a:unet=0.5@0,1@1>": ("1", "0.5@0,1@1", "1", "0.5@0,1@1"),
    "<lora:a:unet=0.5@0,1@1:hrte=0.5>": ("1", "0.5@0,1@1", "0.5", "0.5@0,1@1"),
    "<lora:a:hr=0.6:hrte=0.5>": ("1", "1", "0.5", "0.6"),
    "<lora:a:0.8@0.15,0@0.3:hr=0>": ("0.8@0.15,0@0.3", "0.8@0.15,0@0.3", "0", "0"),
}


@pytest.mark.parametrize("tag", LORACTL)
def test_passes_follow_each_other_as_in_loractl(tag: str) -> None:
    (request,) = parse_prompt(tag).requests
    found = (*request.strengths(hires=False), *request.strengths(hires=True))
    assert found == tuple(read_schedule(text) for text in LORACTL[tag])


def test_windows_are_for_the_unet_in_both_passes() -> None:
    (request,) = parse_prompt("<lora:a:0.8:stop=5:hr=0.4>").requests
    (te, unet), (hr_te, hr_unet) = request.strengths(hires=False), request.strengths(hires=True)
    assert (te, hr_te) == (read_schedule("0.8"), read_schedule("0.4"))
    assert [unet.at(step, 20) for step in (3, 4)] == [0.8, 0.0]
    assert [hr_unet.at(step, 20) for step in (3, 4)] == [0.4, 0.0]
    (request,) = parse_prompt("<lora:a:0.8:stop=5>").requests
    assert request.strengths(hires=True) == request.strengths(hires=False)


def test_zero_in_the_second_pass_is_not_taken_for_nothing_said() -> None:
    (request,) = parse_prompt("<lora:a:0.8:hr=0>").requests
    assert [strength.first for strength in request.strengths(hires=True)] == [0.0, 0.0]


def test_element_weights_work_without_block_weights() -> None:
    (request,) = parse_prompt("<lora:a:lbwe=ATTNDEEPOFF>").requests
    assert request.blocks is not None
    assert request.blocks.weight_of("IN07", "attn1.to_q") == 0.0
    assert request.blocks.weight_of("IN07", "ff.net.2") == 1.0
    assert request.blocks.weight_of("IN04", "attn1.to_q") == 1.0


def test_presets_of_the_user_are_known_in_every_place() -> None:
    presets = read_presets("FACE:IN05-OUT05")
    for tag in ("<lora:a:1:FACE>", "<lora:a:1:lbw=FACE>"):
        assert parse_prompt(tag, presets).requests[0].blocks == presets.weights("FACE")
    assert len(parse_prompt("<lora:a:1:FACE>").problems) == 1


ANYTHING = st.text("<>:=lorayc,.0159@e- \n日", max_size=60)
VALUES = st.text("0159.,;@~-+ =XRINOUTMDALabw", max_size=12)
ITEMS = st.builds("{}{}".format, st.sampled_from(["", *(f"{option}=" for option in OPTIONS)]), VALUES)
TAGS = st.lists(ITEMS, max_size=5).map(lambda items: f"a <lora:{':'.join(('name', *items))}> b")


@given(ANYTHING | TAGS)
def test_any_text_is_parsed_or_reported_and_nothing_else_is_lost(text: str) -> None:
    parsed = parse_prompt(text)
    again = parse_prompt(parsed.text, kinds=["none"])
    assert again.text == parsed.text
    removed = len(text) - len(parsed.text)
    tags = [request.tag for request in parsed.requests] + [problem.where for problem in parsed.problems]
    assert removed == sum(len(tag) for tag in tags)
