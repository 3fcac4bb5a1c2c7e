"""What the training tab shows of an option can be read in Japanese."""

from __future__ import annotations

import json

import pytest

from lib_lyco.studio.form import describe_form
from tests.architecture import ROOT


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
