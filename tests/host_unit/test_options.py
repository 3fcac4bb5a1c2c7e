"""The options: a sound table, in two languages, declared beside the builtin's and read typed."""

from __future__ import annotations

import importlib
import json
from collections.abc import Generator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lib_lyco.catalog.catalog import Catalog
from lib_lyco.host.option_table import OURS, SECTION, SHARED
from tests.architecture import ROOT
from tests.catalog.test_find import put
from tests.host_unit.stand_in import stand_in_modules

# What gradio 3.41's components give back: Checkbox, Radio, Slider, Textbox, Dropdown, Dropdown of several.
GIVEN = {"flag": bool, "choice": str, "number": int, "text": str, "network": str, "networks": list}


@pytest.fixture
def shared(tmp_path: Path) -> Generator[ModuleType]:
    with stand_in_modules(tmp_path / "data") as module:
        yield module


def declare(catalog: Catalog) -> Any:
    components = dict.fromkeys(GIVEN, object)
    return importlib.import_module("lib_lyco.host.options").declare(components, catalog)


def test_defaults_are_what_their_components_give_back() -> None:
    """The host saves no option at all where one differs (`ui_settings.run_settings`)."""
    for option in (*OURS, *SHARED):
        assert type(option.default) is GIVEN[option.kind], option.key
        if option.kind == "choice":
            assert option.default in option.choices
        if option.kind == "number":
            assert isinstance(option.default, int)
            assert option.bounds["minimum"] <= option.default <= option.bounds["maximum"]
    keys = [option.key for option in (*OURS, *SHARED)]
    assert len(set(keys)) == len(keys)


def test_every_text_has_its_japanese() -> None:
    texts = {option.label for option in (*OURS, *SHARED)}
    texts |= {f"({option.help})" for option in (*OURS, *SHARED) if option.help}
    texts |= {choice for option in (*OURS, *SHARED) for choice in option.choices}
    japanese = json.loads((ROOT / "localizations" / "ja_JP.json").read_text(encoding="utf-8"))
    assert texts <= set(japanese)
    assert not any(japanese[text].isascii() for text in texts)


def test_options_are_declared_and_taken_back(shared: ModuleType, tmp_path: Path) -> None:
    opts = shared.opts
    before = dict(opts.data_labels)
    undo = declare(Catalog([tmp_path]))
    ours = {key: opts.data_labels[key] for key in opts.data_labels if key not in before}
    assert set(ours) == {option.key for option in (*OURS, *SHARED)}
    assert {info.section for info in ours.values()} == {SECTION}
    assert "&lt;lyco:&gt;" in ours["lyco_own_lora"].comment_after
    assert [key for key, info in ours.items() if info.restrict_api] == ["lyco_block_presets"]
    undo()
    assert opts.data_labels == before
    assert opts.data["lyco_mode"] == "merge"


@pytest.mark.parametrize("first", [True, False])
def test_the_builtins_options_are_left_to_it(shared: ModuleType, tmp_path: Path, first: bool) -> None:
    """At the first start the builtin declares its own after us, at Reload UI they are there before."""
    theirs = shared.OptionInfo("None", "Add network", section=("extra_networks", "Extra Networks"))
    if not first:
        shared.opts.add_option("sd_lora", theirs)
    undo = declare(Catalog([tmp_path]))
    if first:
        shared.opts.add_option("sd_lora", theirs)
    assert shared.opts.data_labels["sd_lora"] is theirs
    undo()
    assert shared.opts.data_labels["sd_lora"] is theirs


def test_choices_are_the_networks_as_they_are_now(shared: ModuleType, tmp_path: Path) -> None:
    catalog = Catalog([tmp_path / "Lora"])
    put(tmp_path / "Lora" / "a" / "cat.safetensors")
    declare(catalog)
    arguments = shared.opts.data_labels["lyco_networks"].component_args
    assert arguments() == {"choices": ["cat"]}
    put(tmp_path / "Lora" / "b" / "cat.safetensors")
    shared.opts.data_labels["lyco_networks"].refresh()
    assert arguments() == {"choices": ["a/cat", "b/cat"]}
    assert shared.opts.data_labels["sd_lora"].component_args() == {"choices": ["None", "a/cat", "b/cat"]}


def test_values_are_read_live_and_typed(shared: ModuleType, tmp_path: Path) -> None:
    shared.opts.data.update(lyco_cache_mb="a lot", lyco_networks="cat", lyco_memory_mb=2.0)
    declare(Catalog([tmp_path]))
    options = importlib.import_module("lib_lyco.host.options").Options()
    # as the host would compare them with the defaults (`Options.same_type`)
    assert shared.opts.data["lyco_cache_mb"] == 1024 and shared.opts.data["lyco_networks"] == []
    assert options.memory_bytes == 2 * 2**20
    for data, name, value in (
        ({"lyco_mode": "bypass"}, "mode", "bypass"),
        ({"lyco_mode": "merge", "lora_functional": True}, "mode", "bypass"),
        ({"lora_functional": False}, "mode", "merge"),
        ({"sd_lora": "cat"}, "sd_lora", "cat"),
        ({"sd_lora": "None"}, "sd_lora", None),
        ({"lyco_memory_mb": -5}, "memory_bytes", 0),
        ({"lyco_report": 3}, "report", "problems"),
        ({"lora_preferred_name": "Filename"}, "prefers_alias", False),
    ):
        shared.opts.data.update(data)
        assert getattr(options, name) == value
