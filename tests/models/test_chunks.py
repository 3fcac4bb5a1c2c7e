"""Captions of more than 75 tokens, worked by hand in sd-scripts' way and in the WebUI's."""

from __future__ import annotations

import pytest

pytest.importorskip("tokenizers")

from lib_lyco.models.base import PLAIN_TEXT, TextStyle
from lib_lyco.models.chunks import count_tokens, make_chunks
from lib_lyco.models.tokenizer import BOS, EOS, clip_tokenizer

CAT, DOG, COMMA = 2368, 1929, 267


def rows(text: str, style: TextStyle = PLAIN_TEXT, pad: int = EOS) -> list[list[int]]:
    return make_chunks(clip_tokenizer(pad), [text], style).tokens[0].tolist()


def chunk(*tokens: int, pad: int = EOS) -> list[int]:
    return [BOS, *tokens, EOS] + [pad] * (75 - len(tokens))


def test_chunks_frame_and_pad_as_clip_does() -> None:
    # 320 1125 539 320 2368: the well-known tokens of this sentence in CLIP's vocabulary
    assert rows("a photo of a cat") == [chunk(320, 1125, 539, 320, CAT)]
    assert rows("cat", pad=0) == [chunk(CAT, pad=0)]


def test_long_text_goes_on_in_further_chunks_and_short_ones_end_empty() -> None:
    found = make_chunks(clip_tokenizer(), ["cat " * 76, "cat " * 75, ""], PLAIN_TEXT)
    full = chunk(*[CAT] * 75)
    assert found.tokens.tolist() == [[full, chunk(CAT)], [full, chunk()], [chunk(), chunk()]]
    assert found.weights is None


@pytest.mark.parametrize("words_after", [19, 20])
def test_webui_moves_what_follows_a_near_comma_into_the_next_chunk(words_after: int) -> None:
    """Its setting `comma_padding_backtrack` is 20: the comma must be one of the last 20 tokens."""
    before = 74 - words_after
    text = "cat " * before + "," + " dog" * (words_after + 2)
    whole = [CAT] * before + [COMMA] + [DOG] * words_after
    if words_after == 19:
        expected = [chunk(*whole[: before + 1]), chunk(*[DOG] * 21)]
    else:
        expected = [chunk(*whole), chunk(DOG, DOG)]
    assert rows(text) == expected
    assert rows(text, TextStyle("kohya")) == [chunk(*whole), chunk(DOG, DOG)]


def test_comma_that_begins_a_chunk_moves_nothing() -> None:
    text = "cat " * 70 + "," + " cat" * 4 + ", dog"
    assert rows(text) == [chunk(*[CAT] * 70, COMMA, *[CAT] * 4), chunk(COMMA, DOG)]


@pytest.mark.parametrize("pad", [EOS, 0])
def test_kohya_has_as_many_chunks_as_the_limit_says(pad: int) -> None:
    style = TextStyle("kohya", max_tokens=150)
    assert rows("cat", style, pad) == [chunk(CAT, pad=pad), chunk(pad=pad)]
    assert rows("cat " * 200, style, pad) == [chunk(*[CAT] * 75)] * 2
    assert rows("cat " * 200, TextStyle("kohya", max_tokens=75)) == [chunk(*[CAT] * 75)]


def test_limit_leaves_out_the_rest_and_asks_for_no_empty_chunk() -> None:
    style = TextStyle(max_tokens=150)
    assert rows("cat", style) == [chunk(CAT)]
    assert rows("cat " * 200, style) == [chunk(*[CAT] * 75)] * 2
    assert count_tokens(clip_tokenizer(), "cat " * 200, style) == 200


def test_weights_stand_beside_their_tokens() -> None:
    found = make_chunks(clip_tokenizer(), ["a (cat:1.5) dog"], TextStyle(weights="kohya"))
    assert found.tokens[0].tolist() == [chunk(320, CAT, DOG)]
    assert found.weights is not None
    assert found.weights[0, 0].tolist() == [1, 1, 1.5, *[1] * 74]
    assert make_chunks(clip_tokenizer(), ["a (cat:1.0)"], TextStyle(weights="kohya")).weights is None
    assert len(make_chunks(clip_tokenizer(), ["(cat:1.5)"], PLAIN_TEXT).tokens[0, 0].unique()) > 4


def test_break_begins_a_chunk_in_the_webuis_way_only() -> None:
    webui, kohya = TextStyle(weights="webui"), TextStyle("kohya", weights="kohya")
    assert rows("cat BREAK dog", webui) == [chunk(CAT), chunk(DOG)]
    assert rows("cat BREAK BREAK", webui) == [chunk(CAT), chunk()]
    assert rows("(cat BREAK dog:1.2) cat", webui) == [chunk(CAT), chunk(DOG, CAT)]
    assert rows("cat BREAK dog", kohya) == rows("cat break dog")
