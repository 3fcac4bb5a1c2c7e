"""Block and element weights against sd-webui-lora-block-weight's rules (`ratiodealer`), worked by hand."""

from __future__ import annotations

import pytest

from lib_lyco.errors import PromptError
from lib_lyco.prompt.block_names import LISTS
from lib_lyco.prompt.block_weights import BlockWeights, read_block_weights, read_elements

ATTN1 = "input_blocks.4.1.transformer_blocks.0.attn1.to_q"
ATTN2 = "input_blocks.4.1.transformer_blocks.0.attn2.to_k"
FF = "input_blocks.4.1.transformer_blocks.0.ff.net.0.proj"


@pytest.mark.parametrize("length", LISTS)
def test_each_value_of_a_list_goes_to_its_block_and_the_others_have_none(length: int) -> None:
    weights = read_block_weights(",".join(str(number) for number in range(length)))
    for number, block in enumerate(LISTS[length]):
        assert weights.weight_of(block, "") == number
    for block in {"IN03", "OUT11", "JOINT07", "D03"} - set(LISTS[length]):
        assert weights.weight_of(block, "") == 0.0


def test_blocks_have_one_and_the_others_none() -> None:
    weights = read_block_weights("IN05-OUT00 BASE")
    values = {
        block: weights.weight_of(block, "") for block in ("BASE", "IN04", "IN05", "MID", "OUT00", "OUT01")
    }
    assert values == {"BASE": 1.0, "IN04": 0.0, "IN05": 1.0, "MID": 1.0, "OUT00": 1.0, "OUT01": 0.0}


def test_equal_weights_are_one_key_however_written() -> None:
    short = read_block_weights("IN04 MID")
    long = read_block_weights("0,1,0,0,0,1.0,0,0,0,0,0,0")
    assert {short: "seen"}[long] == "seen"


def test_x_is_the_number_from_the_tag() -> None:
    weights = read_block_weights("X,X+0.25,X-.5,1,0,0,0,0,0,0,0,0", inherited=0.7)
    values = [weights.weight_of(block, "") for block in ("BASE", "IN04", "IN05", "IN07")]
    assert values == pytest.approx([0.7, 0.95, 0.2, 1.0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,1,1", "3: 1,1,1"),
        ("0.5", "1: 0.5"),
        ("", "12, 17, 20, 26 or 61"),
        ("IN77", "IN77"),
        ("1,1,1,1,1,1,1,1,1,1,1,y", "'y'"),
        ("1,1,1,1,1,1,1,1,1,1,1,nan", "'nan'"),
        ("1,1,1,1,1,1,1,1,1,1,1,X*2", "X*2"),
        ("1,1,1,1,1,1,1,1,1,1,1,R", "random"),
        ("U,1,1,1,1,1,1,1,1,1,1,1", "random"),
    ],
)
def test_what_is_no_block_weight_is_refused(text: str, said: str) -> None:
    with pytest.raises(PromptError) as caught:
        read_block_weights(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("IN04:attn:0.5", (0.5, 0.5, 2.0)),
        ("IN04:attn1:0.5", (0.5, 2.0, 2.0)),
        ("IN04:attn1 ff:0.5", (0.5, 2.0, 0.5)),
        ("IN04:NOT attn1 ff:0.5", (2.0, 0.5, 2.0)),
        ("NOT IN05-OUT05::0", (0.0, 0.0, 0.0)),
        ("IN05-OUT05::0", (2.0, 2.0, 2.0)),
        ("::0", (0.0, 0.0, 0.0)),
        (":proj:0", (2.0, 2.0, 0.0)),
        (":attn2.to_k:0", (2.0, 0.0, 2.0)),
        (":attn2_to_k:0", (2.0, 0.0, 2.0)),
        ("::0,IN:ff:1", (0.0, 0.0, 1.0)),
        ("IN:ff:1,::0", (0.0, 0.0, 0.0)),
    ],
)
def test_the_last_rule_about_a_layer_replaces_its_block_weight(
    rules: str, expected: tuple[float, float, float]
) -> None:
    weights = BlockWeights((("IN04", 2.0),), read_elements(rules))
    assert tuple(weights.weight_of("IN04", layer) for layer in (ATTN1, ATTN2, FF)) == expected


@pytest.mark.parametrize(
    "text", ["IN04:attn", "attn:0.5", "IN04:attn:0.5:1", "IN99:attn:1", "IN04:attn:x", ""]
)
def test_what_is_no_element_rule_is_refused(text: str) -> None:
    with pytest.raises(PromptError):
        read_elements(text)
