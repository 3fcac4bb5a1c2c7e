"""What README and CONTRIBUTING show works as it is shown there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

from lib_lyco.algos.hints import Hints
from lib_lyco.demo.concepts import write_training_folder
from lib_lyco.entry.cli import COMMANDS
from lib_lyco.errors import AdapterError
from tests.architecture import ROOT, Source, violations

CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)\)")
DOCUMENTS = ("README.md", "README-ja.md", "CONTRIBUTING.md", "CHANGELOG.md")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def worked_algorithm(monkeypatch: pytest.MonkeyPatch) -> Any:
    (code,) = CODE.findall(text_of("CONTRIBUTING.md"))
    module = ModuleType("lib_lyco.algos.lora_xs")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, module.__name__, "exec"), module.__dict__)
    return module.__dict__["LoraXs"]


def test_worked_algorithm_computes_its_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    algo = worked_algorithm(monkeypatch)
    left, core, right = torch.randn(6, 2), torch.randn(2, 2), torch.randn(2, 4, 3, 3)
    adapter = algo.decode({"xs_a": left, "xs_r": core, "xs_b": right}, Hints())
    expected = torch.einsum("or,rs,sikl->oikl", left.double(), core.double(), right.double())
    assert torch.allclose(adapter.delta(torch.randn(6, 4, 3, 3)).double(), expected, atol=1e-5)
    with pytest.raises(AdapterError, match="6x36"):
        adapter.delta(torch.randn(6, 5, 3, 3))


def test_worked_algorithm_keeps_the_rules() -> None:
    (code,) = CODE.findall(text_of("CONTRIBUTING.md"))
    assert violations([Source("lib_lyco.algos.lora_xs", code)]) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_inside_the_repository_lead_somewhere(name: str) -> None:
    assert [link for link in LINK.findall(text_of(name)) if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("name", ["README.md", "README-ja.md"])
def test_readme_names_every_command(name: str) -> None:
    assert [command for command in COMMANDS if f"lyco {command}" not in text_of(name)] == []


def test_both_readmes_show_the_same_commands_and_code() -> None:
    fences = re.compile(r"```[a-z]*\n(.*?)```", re.DOTALL)
    without_comments = [
        [re.sub(r"\s*#.*", "", block) for block in fences.findall(text_of(name))]
        for name in ("README.md", "README-ja.md")
    ]
    assert without_comments[0] == without_comments[1]


@pytest.mark.slow
def test_headless_run_of_the_readme_leaves_a_network_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_training_folder(tmp_path / "demo-output" / "images")
    (code,) = CODE.findall(text_of("README.md"))
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "output" / "both.safetensors").is_file()
    with Image.open(tmp_path / "cat.png") as picture:
        assert picture.size == (64, 64)
