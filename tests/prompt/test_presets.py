"""Presets against sd-webui-lora-block-weight's own lists and its file format."""

from __future__ import annotations

import pytest

from lib_lyco.errors import PromptError
from lib_lyco.naming.blocks import block_names
from lib_lyco.naming.layer import Family
from lib_lyco.prompt.block_names import LISTS
from lib_lyco.prompt.presets import BUILT_IN, read_presets

FAMILIES: tuple[Family, ...] = ("sd1", "sd2", "sdxl", "sd3")

# what that extension writes into a new lbwpresets.txt, for the 17 blocks of a LoRA for SD1
ITS_OWN = {
    "NONE": "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0",
    "ALL": "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1",
    "INS": "1,1,1,1,0,0,0,0,0,0,0,0,0,0,0,0,0",
    "IND": "1,0,0,0,1,1,1,0,0,0,0,0,0,0,0,0,0",
    "INALL": "1,1,1,1,1,1,1,0,0,0,0,0,0,0,0,0,0",
    "MIDD": "1,0,0,0,1,1,1,1,1,1,1,1,0,0,0,0,0",
    "OUTD": "1,0,0,0,0,0,0,0,1,1,1,1,0,0,0,0,0",
    "OUTS": "1,0,0,0,0,0,0,0,0,0,0,0,1,1,1,1,1",
    "OUTALL": "1,0,0,0,0,0,0,0,1,1,1,1,1,1,1,1,1",
    "ALL0.5": "0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5",
}


@pytest.mark.parametrize("name", ITS_OWN)
def test_builtin_presets_are_that_extensions_on_a_lora(name: str) -> None:
    values = [float(value) for value in ITS_OWN[name].split(",")]
    weights = BUILT_IN.weights(name)
    assert [weights.weight_of(block, "") for block in LISTS[17]] == values


@pytest.mark.parametrize("family", FAMILIES)
def test_all_means_all_in_every_family(family: Family) -> None:
    for name, value in (("ALL", 1.0), ("NONE", 0.0), ("ALL0.5", 0.5)):
        assert {BUILT_IN.weights(name).weight_of(block, "") for block in block_names(family)} == {value}


@pytest.mark.parametrize(("parts", "family"), [(("INS", "IND"), "sd1"), (("XLINS", "XLIND"), "sdxl")])
def test_shallow_and_deep_part_the_blocks_of_a_side(parts: tuple[str, str], family: Family) -> None:
    for names, side in ((parts, "IN"), ([part.replace("IN", "OUT") for part in parts], "OUT")):
        blocks = [block for block in block_names(family) if block.startswith(side)]
        sums = {sum(BUILT_IN.weights(name).weight_of(block, "") for name in names) for block in blocks}
        assert sums == {1.0}


FILE = """\ufeff# my presets
FACE:1,0,0,0,0,0,0,0,1,1,1,0,0,0,0,0,0
DEEP:IN05-OUT05   # a range
SOFT:X,1,1,1,1,1,1,1,1,1,1,1
OUTS:1,0,0,0,0,0,0,0,0,0,0,0
some words of the user
BROKEN:1,2,3
ROUT:1,1,1,1,1,1,1,1,R,R,R,R,R,R,R,R,R

HALF:IN05-OUT05:attn:0.5,MID:attn:0
# within
BASE:attn:0.25

BASE:attn:0.25
XYZ:::1
ODD:IN05:attn:y
"""


def test_users_file_is_read_line_by_line() -> None:
    presets = read_presets(FILE, "mine.txt")
    assert presets.weights("FACE").weight_of("OUT03", "") == 1.0
    assert presets.weights("DEEP").weight_of("MID", "") == 1.0
    assert presets.weights("SOFT", 0.3).weight_of("BASE", "") == 0.3
    assert presets.weights("SOFT").weight_of("BASE", "") == 1.0
    assert presets.weights("OUTS").weight_of("OUT09", "") == 0.0, "the user's takes the built-in's place"
    assert presets.weights("OUTD") == BUILT_IN.weights("OUTD")
    assert [(rule.words, rule.ratio) for rule in presets.rules("HALF")] == [
        (("attn",), 0.5), (("attn",), 0.0), (("attn",), 0.25)
    ]  # fmt: skip
    assert presets.rules("XYZ")[0].ratio == 1.0
    assert presets.rules("ATTNDEEPOFF") == BUILT_IN.rules("ATTNDEEPOFF")


def test_lines_that_cannot_be_read_are_told_with_their_number() -> None:
    problems = read_presets(FILE, "mine.txt").problems
    lines = [(problem.where.partition(":")[0], problem.where.partition(": ")[2]) for problem in problems]
    assert lines == [
        ("mine.txt, line 6", "some words of the user"),
        ("mine.txt, line 7", "BROKEN:1,2,3"),
        ("mine.txt, line 8", "ROUT:1,1,1,1,1,1,1,1,R,R,R,R,R,R,R,R,R"),
        ("mine.txt, line 14", "BASE:attn:0.25"),
        ("mine.txt, line 16", "ODD:IN05:attn:y"),
    ]
    assert "BROKEN" not in read_presets(FILE).blocks


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("INALLL", "INALL"),
        ("alll", "ALL"),
        ("IN4", "IN04"),
        ("MIDd", "MIDD"),
        ("zzzzzz", ""),
        ("IN05-OUT5", "OUT05"),
    ],
)
def test_unknown_preset_of_blocks_suggests_others(text: str, hint: str) -> None:
    with pytest.raises(PromptError) as caught:
        BUILT_IN.weights(text)
    assert hint in caught.value.remedy
    assert bool(hint) == bool(caught.value.remedy)


def test_unknown_preset_of_elements_suggests_others() -> None:
    with pytest.raises(PromptError, match="ATTNDEEPOF") as caught:
        BUILT_IN.rules("ATTNDEEPOF")
    assert "ATTNDEEPOFF" in caught.value.remedy
