"""What the training tab shows of an option, and what the server says there, can be read in Japanese."""

from __future__ import annotations

import json

import pytest

from lib_lyco.studio.form import describe_form
from tests.architecture import ROOT
from tests.sentences import made_sentences, normal

SHOWN = (
    "studio/*.py",
    "web/*.py",
    "models/*.py",
    "host/training*.py",
    "host/taggers.py",
    "files/[hlrst]*.py",  # nobody has to read what is inside a pickle, or names in metadata
    "catalog/facts.py",
    "entry/own_provider.py",
)
"""Files below lib_lyco whose sentences the tab shows."""
NOT_SHOWN = {
    '"{}" -m pip install {}',
    "pip install openai-clip",
    "clip skip {}",
    "SDXL's cond has a pooled state",
    "CFG scale",
    "Negative prompt: {}",
    "base model",
    "image makes",
    "images make",
    "lyco samples",
    "no record of a run",
}
"""Commands, names in files, parts of sentences, and what stands in a log."""


@pytest.fixture(scope="module")
def japanese() -> dict[str, str]:
    return json.loads((ROOT / "localizations" / "ja_JP.json").read_text(encoding="utf-8"))


def test_every_option_and_group_has_its_japanese(japanese: dict[str, str]) -> None:
    groups = describe_form(lambda module: True)
    told = {group["title"] for group in groups}
    told |= {option[part] for group in groups for option in group["options"] for part in ("title", "help")}
    assert len(told) > 300
    assert sorted(told - japanese.keys()) == []


def test_names_and_numbers_of_an_option_are_the_same_in_japanese(japanese: dict[str, str]) -> None:
    """A help that names another option, a value or a paper names it in Japanese too."""
    options = [option for group in describe_form(lambda module: True) for option in group["options"]]
    names = {option["name"] for option in options if "_" in option["name"]}
    for option in options:
        words = {word.strip(".,:;()") for word in option["help"].split()}
        wanted = {word for word in words if word in names or word[:4].isdigit()}
        assert [word for word in wanted if word not in japanese[option["help"]]] == [], option["name"]


@pytest.mark.parametrize("files", SHOWN)
def test_every_sentence_of_the_server_has_its_japanese(files: str, japanese: dict[str, str]) -> None:
    """A sentence is known by its words, whatever values stand in it; see lyco_words.js."""
    sentences = made_sentences((ROOT / "lib_lyco").glob(files))
    known = {normal(key) for key in japanese} | NOT_SHOWN
    assert sentences
    assert {one: at for one, at in sentences.items() if normal(one) not in known} == {}
