"""What docs/tags.md shows is read as it says, and its translation shows the same."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from lib_lyco.prompt.block_names import LISTS, NAMES, read_blocks
from lib_lyco.prompt.edit import find_tags
from lib_lyco.prompt.options import OPTIONS
from lib_lyco.prompt.presets import BUILT_IN, read_presets
from lib_lyco.prompt.request import NetworkRequest
from lib_lyco.prompt.tags import parse_prompt
from tests.architecture import ROOT

DOCUMENTS = ("tags.md", "tags-ja.md")
ROW = re.compile(r"^\| (.*) \|$", re.MULTILINE)
PRESET = re.compile(r"`([A-Z]+)` \| ([A-Z0-9 -]+) \|")


def sections(name: str) -> list[str]:
    return (ROOT / "docs" / name).read_text(encoding="utf-8").split("\n## ")


def rows(text: str) -> list[list[str]]:
    return [row.split(" | ") for row in ROW.findall(text)]


def read(tag: str) -> NetworkRequest:
    (request,) = parse_prompt(tag).requests
    return request


def test_every_tag_shown_is_read_and_every_mistake_is_told() -> None:
    *good, mistakes = sections("tags.md")
    for section in good:
        shown = parse_prompt(section.replace("`<lora:...>`", "").replace("`<lyco:...>`", ""))
        assert [str(problem) for problem in shown.problems] == []
    assert len(find_tags("".join(good))) > 40
    wrong = [row for row in rows(mistakes) if find_tags(row[0])]
    assert len(wrong) == len(parse_prompt(mistakes).problems) == 6


def test_hints_shown_are_given() -> None:
    for tag, told, *_ in rows(sections("tags.md")[-1])[2:]:
        (problem,) = parse_prompt(tag).problems
        for hint in re.findall(r"Did you mean (\w+)\?", told):
            assert hint in problem.remedy.partition("?")[0]


def test_old_forms_mean_what_stands_beside_them() -> None:
    pairs = [row for row in rows(sections("tags.md")[-2]) if find_tags(row[0])]
    assert len(pairs) == 7
    for old, _, new in pairs:
        assert read(old.strip("`")) == replace(read(new.strip("`")), tag=old.strip("`"))


def test_lists_and_presets_are_as_shown() -> None:
    text = next(section for section in sections("tags.md") if section.startswith("Block weights"))
    shown = {int(row[0]): row[2] for row in rows(text) if row[0].isdigit()}
    assert {length: _expand(blocks) for length, blocks in shown.items()} == dict(LISTS)
    presets = dict(PRESET.findall(text))
    for name, blocks in presets.items():
        assert BUILT_IN.weights(name) == BUILT_IN.weights(blocks)
    assert set(presets) | {"ALL", "ALL0.5", "NONE", "FLUXALL"} == set(BUILT_IN.blocks)


def test_file_shown_is_read() -> None:
    (text,) = re.findall(r"```\n(.*?)```", "".join(sections("tags.md")), re.DOTALL)
    presets = read_presets(text)
    assert presets.problems == ()
    assert {"FACE", "DEEP", "SOFT"} <= set(presets.blocks)
    assert len(presets.rules("HALFATTN")) == 3
    assert len(presets.rules("NOFF")) == 1


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_option_and_preset_is_named(name: str) -> None:
    text = "".join(sections(name))
    words = (*OPTIONS, *BUILT_IN.blocks, *BUILT_IN.elements)
    assert [word for word in words if f"`{word}`" not in text] == []
    assert all((ROOT / "docs" / link).exists() for link in re.findall(r"\]\(([^)]+)\)", text))


def test_translation_shows_the_same_tags() -> None:
    english, japanese = (sections(name) for name in DOCUMENTS)
    assert [find_tags(section) for section in english] == [find_tags(section) for section in japanese]
    assert [PRESET.findall(section) for section in english] == [
        PRESET.findall(section) for section in japanese
    ]


def _expand(blocks: str) -> tuple[str, ...]:
    """Blocks in the order in which their words stand."""
    return tuple(name for word in blocks.split() for name in NAMES if name in _exactly(word))


def _exactly(word: str) -> frozenset[str]:
    return read_blocks(word) if "-" in word else frozenset([word])
