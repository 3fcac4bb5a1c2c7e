"""Trigger words from captions: cases worked by hand, and the builtin's own count of tags."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lib_lyco.catalog.triggers import TriggerSet, tag_counts, trigger_sets, written_sets
from tests.catalog.builtin import builtin_functions

CHARACTER = {"sks cat": 24, "outdoors": 9, "looking at viewer": 20, "grass": 1}
OUTFIT = {"sks cat": 10, "red hat": 10, "night": 3}


def metadata(**values: object) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def test_each_folder_gives_the_tags_that_nearly_all_its_captions_have() -> None:
    """20 of 24 captions are 83 %, 9 are 38 %; the folder's name loses kohya's repeats."""
    found = trigger_sets(
        metadata(
            ss_tag_frequency={"10_sks cat": CHARACTER, "5_hat": OUTFIT},
            ss_dataset_dirs={"10_sks cat": {"n_repeats": 10, "img_count": 24}, "5_hat": {"img_count": 10}},
        )
    )
    assert found == (
        TriggerSet("sks cat", ("sks cat", "looking at viewer")),
        TriggerSet("hat", ("sks cat", "red hat")),
    )


def test_a_tag_of_few_of_many_images_is_no_trigger() -> None:
    frequency = {"1_x": {"a": 3, "b": 2}}
    images = {"1_x": {"n_repeats": 1, "img_count": 100}}
    assert trigger_sets(metadata(ss_tag_frequency=frequency, ss_dataset_dirs=images)) == ()


def test_without_the_number_of_images_the_most_frequent_tag_stands_for_it() -> None:
    assert trigger_sets(metadata(ss_tag_frequency={"x": {"a": 10, "b": 8, "c": 7}})) == (
        TriggerSet("x", ("a", "b")),
    )


def test_single_captions_prove_nothing() -> None:
    captions = {f"a long caption about picture number {n}": 1 for n in range(20)}
    assert trigger_sets(metadata(ss_tag_frequency={"10_x": captions})) == ()


def test_regularisation_images_have_no_triggers() -> None:
    found = trigger_sets(
        metadata(
            ss_tag_frequency={"5_sks": {"sks": 9}, "1_person": {"person": 200}},
            ss_dataset_dirs={"5_sks": {"img_count": 9}},
            ss_reg_dataset_dirs={"1_person": {"img_count": 200}},
        )
    )
    assert [one.words for one in found] == [("sks",)]


def test_stated_phrase_comes_first_and_equal_sets_once() -> None:
    found = trigger_sets(
        metadata(
            **{"modelspec.trigger_phrase": "red hat, sks"},
            ss_tag_frequency={"1_a": {"sks": 5}, "2_b": {"sks": 7}},
        )
    )
    assert found == (TriggerSet("", ("red hat", "sks")), TriggerSet("a", ("sks",)))


def test_lines_of_an_activation_text_are_sets() -> None:
    assert written_sets("sks cat, sitting\n\n sks dog ,, sks dog\n") == (
        TriggerSet("", ("sks cat", "sitting")),
        TriggerSet("", ("sks dog",)),
    )


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "None",
        "[]",
        "{",
        '{"a": 3}',
        '{"a": {"b": "c"}}',
        '{"a": {"b": -3}}',
        '{"a": {" ": 3}}',
        '{"a": null}',
    ],
)
def test_metadata_that_is_something_else_gives_nothing(broken: str) -> None:
    assert trigger_sets({"ss_tag_frequency": broken, "ss_dataset_dirs": broken}) == ()
    assert tag_counts({"ss_tag_frequency": broken}) == []


@pytest.mark.host
@pytest.mark.parametrize(
    "frequency",
    [
        {"10_a": {"cat": 3, " dog ": 2}, "5_b": {"dog": 4, "bird": 1}},
        {"10_a": {"a photograph of a cat": 3, "a drawing of one's dog_house": 2}},
        {},
    ],
)
def test_tags_are_counted_as_the_builtin_counts_them(frequency: dict[str, dict[str, int]]) -> None:
    import re

    names = ("is_non_comma_tagset", "build_tags")
    found: Any = builtin_functions(
        "extensions-builtin/Lora/ui_edit_user_metadata.py",
        names,
        {"re": re, "re_word": re.compile(r"[-_\w']+")},
    )
    theirs = found["build_tags"]({"ss_tag_frequency": frequency})
    assert sorted(tag_counts(metadata(ss_tag_frequency=frequency))) == sorted(theirs)
