"""What the training tab shows of an option, and what the server says there, can be read in Japanese."""

from __future__ import annotations

import json

import pytest

from lib_lyco.studio.form import describe_form
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.option import declarations
from lib_lyco.train.options.subset import SubsetOptions
from tests.architecture import ROOT
from tests.sentences import made_sentences, normal, sentences_of

SHOWN = (
    "studio/*.py",
    "studio/dataset/*.py",
    "web/*.py",
    "models/*.py",
    "host/training*.py",
    "host/taggers.py",
    "files/[hlrst]*.py",  # nobody has to read what is inside a pickle, or names in metadata
    "catalog/facts.py",
    "entry/own_provider.py",
    "train/[a-km-z]*.py",  # the launcher's are for the terminal
    "train/l[oy]*.py",
    "train/layer*.py",
    "train/[cdfo]*/*.py",
    "train/kohya/[!l]*.py",
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
    "pip install {}",
    "pip install onnxruntime",
    "pip install lycoris-lora==4.0.0",
    "lyco train",
    "only the forward pass is made",
    "{}: nothing for {}",
    "a photo of (two:1.2) cats, [blurry], 1girl",
    "a {} cannot be kept in a state",
    "unknown kind {}",
    "gradient checkpointing",
    "held out",
    "command line",
    "the file",
    "other fields",
    "has no effect",
    "nothing without",
    "Layers by lycoris' preset ({}) or a TOML file of one; empty is kohya's choice, for ia3 its own",
}
"""Commands, names in files, parts of sentences, helps put together, and what stands in a log."""
_FLAGS = 5
"""A text with so many underscores is a list of flags."""


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


def shown_sentences(files: str) -> dict[str, str]:
    """The sentences of some files, with their places, but for the helps of options, which are translated
    as wholes."""
    helps = [one.option.help for kind in (TrainConfig, SubsetOptions) for one in declarations(kind)]
    left_out = NOT_SHOWN | {normal(part) for text in helps for part in sentences_of(text)}
    made = made_sentences((ROOT / "lib_lyco").glob(files)).items()
    return {one: at for one, at in made if normal(one) not in left_out and one.count("_") < _FLAGS}


@pytest.mark.parametrize("files", SHOWN)
def test_every_sentence_of_the_server_has_its_japanese(files: str, japanese: dict[str, str]) -> None:
    """A sentence is known by its words, whatever values stand in it; see lyco_words.js."""
    sentences, known = shown_sentences(files), {normal(key) for key in japanese}
    assert sentences
    assert {one: at for one, at in sentences.items() if normal(one) not in known} == {}
