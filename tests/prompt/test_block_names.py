"""Names of blocks against the lists in sd-webui-lora-block-weight's README, and against our own naming."""

from __future__ import annotations

import pytest

from lib_lyco.errors import PromptError
from lib_lyco.naming.blocks import block_names
from lib_lyco.naming.layer import Family
from lib_lyco.prompt.block_names import LISTS, NAMES, UNET, read_blocks

DOCUMENTED = {
    12: "BASE IN04 IN05 IN07 IN08 MID OUT00 OUT01 OUT02 OUT03 OUT04 OUT05",
    17: "BASE IN01 IN02 IN04 IN05 IN07 IN08 MID OUT03 OUT04 OUT05 OUT06 OUT07 OUT08 OUT09 OUT10 OUT11",
    20: "BASE IN00 IN01 IN02 IN03 IN04 IN05 IN06 IN07 IN08 MID"
    " OUT00 OUT01 OUT02 OUT03 OUT04 OUT05 OUT06 OUT07 OUT08",
    26: "BASE IN00 IN01 IN02 IN03 IN04 IN05 IN06 IN07 IN08 IN09 IN10 IN11 MID"
    " OUT00 OUT01 OUT02 OUT03 OUT04 OUT05 OUT06 OUT07 OUT08 OUT09 OUT10 OUT11",
    61: "CLIP T5 IN D00 D01 D02 D03 D04 D05 D06 D07 D08 D09 D10 D11 D12 D13 D14 D15 D16 D17 D18"
    " S00 S01 S02 S03 S04 S05 S06 S07 S08 S09 S10 S11 S12 S13 S14 S15 S16 S17 S18 S19 S20 S21 S22 S23"
    " S24 S25 S26 S27 S28 S29 S30 S31 S32 S33 S34 S35 S36 S37 OUT",
}


def test_lists_are_those_of_lora_block_weight() -> None:
    assert {length: " ".join(names) for length, names in LISTS.items()} == DOCUMENTED


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl", "sd3"])
def test_every_block_of_every_family_has_a_name_here_and_keeps_its_order(family: Family) -> None:
    names = block_names(family)
    assert set(names) <= set(NAMES)
    ends = f"{names[1]}-{names[-1]}"
    assert set(names[1:]) <= read_blocks(ends)
    assert "BASE" not in read_blocks(ends)


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("IN04", "IN04"),
        ("BASE MID", "BASE MID"),
        ("M00", "MID"),
        ("encoder", "BASE"),
        ("IN10-OUT01", "IN10 IN11 MID OUT00 OUT01"),
        ("OUT01-IN10", "IN10 IN11 MID OUT00 OUT01"),
        ("BASE-IN01", "BASE IN00 IN01"),
        ("JOINT22-OUT", "JOINT22 JOINT23 OUT"),
        ("D17-S01", "D17 D18 S00 S01"),
        ("  IN00   IN02 ", "IN00 IN02"),
    ],
)
def test_words_and_ranges(text: str, blocks: str) -> None:
    assert read_blocks(text) == frozenset(blocks.split())
    assert read_blocks(f"NOT {text}") == frozenset(NAMES) - frozenset(blocks.split())


def test_word_without_number_is_all_that_begin_so() -> None:
    assert read_blocks("OUT") & frozenset(UNET) == {f"OUT{number:02}" for number in range(12)}
    assert read_blocks("") == read_blocks("NOT") == frozenset(NAMES)


@pytest.mark.parametrize(
    ("text", "wrong", "hint"),
    [
        ("IN05-OUT5", "OUT5", "OUT05"),
        ("in04", "in04", "IN04"),
        ("IN01-IN02-IN03", "IN01-IN02-IN03", ""),
        ("IN04 JOINT01-OUT03", "JOINT01-OUT03", ""),
        ("MIDDLE", "MIDDLE", "MID"),
        ("-", "", ""),
    ],
)
def test_what_is_no_block_is_named(text: str, wrong: str, hint: str) -> None:
    with pytest.raises(PromptError) as caught:
        read_blocks(text)
    assert repr(wrong) in caught.value.what
    assert hint in caught.value.remedy
