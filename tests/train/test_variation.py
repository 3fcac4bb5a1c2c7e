"""What a caption becomes, worked by hand step by step in sd-scripts' order."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import Any

import pytest

from lib_lyco.train.data.order import Sample
from lib_lyco.train.data.variation import Variations, varies
from lib_lyco.train.options.subset import SubsetOptions
from tests.train.records import record


def texts(caption: str, count: int = 1, step: int = 0, weighted: bool = False, **options: Any) -> list[str]:
    """The caption of `count` showings in the first epoch."""
    variations = Variations([record(caption, **options)], seed=3, total_steps=100, weighted=weighted)
    return [variations.caption(Sample(0, 0, repeat), step).first for repeat in range(count)]


def share(found: list[str], text: str) -> float:
    return found.count(text) / len(found)


def test_caption_is_left_alone_by_default() -> None:
    assert texts("a,  b |{x|y} ,c") == ["a,  b |{x|y} ,c"]


def test_prefix_and_suffix_are_joined_with_a_space() -> None:
    assert texts("cat, dog", caption_prefix="aaa,", caption_suffix="zzz") == ["aaa, cat, dog zzz"]
    lines = texts("cat\ndog", 40, caption_prefix="aaa", caption_suffix="zzz", enable_wildcard=True)
    assert set(lines) == {"aaa cat zzz", "aaa dog zzz"}


def test_first_line_counts_and_with_wildcards_any() -> None:
    assert texts("one\ntwo\nthree") == ["one"]
    found = texts("one\ntwo\nthree", 900, enable_wildcard=True)
    assert {line: share(found, line) for line in ("one", "two", "three")} == pytest.approx(
        {"one": 1 / 3, "two": 1 / 3, "three": 1 / 3}, abs=0.05
    )


def test_wildcards_are_drawn_each_alone_and_doubled_braces_are_braces() -> None:
    found = Counter(texts("{red|blue} {cat|dog}, {{x|y}}", 400, enable_wildcard=True))
    assert set(found) == {f"{a} {b}, {{x|y}}" for a in ("red", "blue") for b in ("cat", "dog")}
    assert min(found.values()) > 70
    assert texts("{a|b", 1, enable_wildcard=True) == ["{a|b"]


def test_rate_of_caption_dropout() -> None:
    found = texts("cat", 2000, caption_dropout_rate=0.1)
    assert set(found) == {"cat", ""}
    assert share(found, "") == pytest.approx(0.1, abs=0.02)
    assert set(texts("cat", 20, caption_dropout_rate=1.0)) == {""}


def test_every_n_epochs_go_without_captions() -> None:
    variations = Variations([record("cat", caption_dropout_every_n_epochs=3)], seed=0, total_steps=1)
    found = [variations.caption(Sample(0, epoch, 0), 0).first for epoch in range(7)]
    assert found == ["cat", "cat", "", "cat", "cat", "", "cat"]
    assert texts("cat", caption_dropout_every_n_epochs=1) == [""]


def test_each_of_sdxls_encoders_has_a_dropout_of_its_own() -> None:
    one = record("cat", caption_dropout_rate_te1=0.3, caption_dropout_rate_te2=0.6)
    variations = Variations([one], seed=0, total_steps=1)
    found = [variations.caption(Sample(0, 0, repeat), 0) for repeat in range(2000)]
    first, second = [one.first == "" for one in found], [one.second == "" for one in found]
    assert sum(first) / 2000 == pytest.approx(0.3, abs=0.03)
    assert sum(second) / 2000 == pytest.approx(0.6, abs=0.03)
    both = sum(a and b for a, b in zip(first, second, strict=True)) / 2000
    assert both == pytest.approx(0.18, abs=0.03)


def test_shuffling_reaches_every_order_and_keeps_every_tag() -> None:
    found = Counter(texts("a, b,c", 600, shuffle_caption=True))
    assert set(found) == {", ".join(order) for order in permutations("abc")}
    assert min(found.values()) > 60


def test_kept_tags_stay_in_front() -> None:
    found = set(texts("a, b, c, d", 200, shuffle_caption=True, keep_tokens=2))
    assert found == {"a, b, c, d", "a, b, d, c"}
    assert texts("a, b", shuffle_caption=True, keep_tokens=5) == ["a, b"]


def test_separator_of_kept_tags_fixes_both_ends() -> None:
    options: dict[str, Any] = {"keep_tokens_separator": "|||"}
    caption = "aaa, bbb ||| ccc, ddd ||| eee"
    found = set(texts(caption, 200, shuffle_caption=True, **options))
    assert found == {"aaa, bbb, ccc, ddd, eee", "aaa, bbb, ddd, ccc, eee"}
    assert texts(caption, **options) == ["aaa, bbb, ccc, ddd, eee"]
    front = set(texts("aaa ||| ccc, ddd", 200, shuffle_caption=True, keep_tokens=9, **options))
    assert front == {"aaa, ccc, ddd", "aaa, ddd, ccc"}


def test_secondary_separator_keeps_tags_together() -> None:
    found = set(texts("a;;;b, c", 100, shuffle_caption=True, secondary_separator=";;;"))
    assert found == {"a,b, c", "c, a,b"}
    assert texts("a;;;b", secondary_separator=";;;", caption_separator="/") == ["a/b"]


def test_other_separators_part_tags() -> None:
    found = set(texts("a, b. c", 100, shuffle_caption=True, caption_separator="."))
    assert found == {"a, b, c", "c, a, b"}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        # by hand: floor(step * ((6 - 2) / 40)) + 2 tags
        (0, "k, a, b"),
        (9, "k, a, b"),
        (10, "k, a, b, c"),
        (39, "k, a, b, c, d, e"),
        (40, "k, a, b, c, d, e, f"),
        (99, "k, a, b, c, d, e, f"),
    ],
)
@pytest.mark.parametrize("warmup", [40, 0.4])
def test_tags_come_in_step_by_step(step: int, expected: str, warmup: float) -> None:
    found = texts(
        "k, a, b, c, d, e, f", step=step, keep_tokens=1, token_warmup_min=2, token_warmup_step=warmup
    )
    assert found == [expected]


def test_tags_are_held_back_before_they_are_shuffled() -> None:
    found = set(texts("a, b, c", 100, shuffle_caption=True, token_warmup_min=2, token_warmup_step=10))
    assert found == {"a, b", "b, a"}


def test_tag_dropout_spares_kept_tags() -> None:
    found = texts("k, a, b, c", 1000, keep_tokens=1, caption_tag_dropout_rate=0.25)
    assert all(text.startswith("k") for text in found)
    for tag in "abc":
        assert sum(tag in text for text in found) / 1000 == pytest.approx(0.75, abs=0.05)
    assert texts("k, a", keep_tokens=1, caption_tag_dropout_rate=1.0) == ["k"]


def test_tags_that_are_never_dropped() -> None:
    spared = ("ohwx", "red *")
    options: dict[str, Any] = {"caption_tag_dropout_rate": 0.5, "tag_dropout_keep": spared}
    found = texts("a, Ohwx, b, red hair, redden", 1000, **options)
    assert all("Ohwx" in text and "red hair" in text for text in found)
    for tag in ("a", "b", "redden"):
        assert sum(tag in text.split(", ") for text in found) / 1000 == pytest.approx(0.5, abs=0.05)
    alone = texts("a, Ohwx, b, red hair, redden", 1000, caption_tag_dropout_rate=0.5)
    for with_spared, without in zip(found, alone, strict=True):  # the others fall as they would without
        tags = [tag for tag in with_spared.split(", ") if tag not in ("Ohwx", "red hair")]
        assert tags == [tag for tag in without.split(", ") if tag not in ("Ohwx", "red hair", "")]


def test_brackets_that_weigh_are_not_torn_apart() -> None:
    found = set(texts("(a, b:1.2), c", 100, weighted=True, shuffle_caption=True))
    assert found == {"(a, b:1.2), c", "c, (a, b:1.2)"}
    torn = set(texts("(a, b:1.2), c", 100, shuffle_caption=True))
    assert len(torn) == 6


def test_caption_is_a_function_of_seed_epoch_image_and_repeat() -> None:
    records = [record("a, b, c, d, e", shuffle_caption=True) for _ in range(2)]
    samples = [Sample(image, epoch, repeat) for image in (0, 1) for epoch in (0, 1) for repeat in (0, 1)]

    def captions(seed: int, order: list[Sample]) -> dict[Sample, str]:
        variations = Variations(records, seed, total_steps=10)
        return {sample: variations.caption(sample, 0).first for sample in order}

    assert captions(0, samples) == captions(0, samples[::-1])
    assert len(set(captions(0, samples).values())) > 4
    assert captions(0, samples) != captions(1, samples)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, False),
        ({"caption_dropout_rate": 0.5}, False),
        ({"keep_tokens_separator": "|"}, False),
        ({"shuffle_caption": True}, True),
        ({"caption_tag_dropout_rate": 0.1}, True),
        ({"token_warmup_step": 5}, True),
        ({"enable_wildcard": True}, True),
    ],
)
def test_what_makes_captions_vary(options: dict[str, Any], expected: bool) -> None:
    assert varies(SubsetOptions(**options)) is expected
    one = Variations([record("a", **options)], 0, 10).caption(Sample(0, 0, 0), 0)
    assert one.lasting is not expected
