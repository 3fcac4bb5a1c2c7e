"""The house keeps its own rules: floors, budgets, habits (see DESIGN and CONTRIBUTING)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import pytest

from tests.architecture import ROOT, Budget, Source, import_cycle, read_sources, violations

FREE_OF_BUDGET: Mapping[str, str] = {}
"""Name of a module or function that may be over its budget -> why. Tables and declarations only."""

MACHINE_PATH = re.compile(
    rb"(?<![\w.~/-])/(?:"
    + b"|".join((rb"home/\w", rb"root/", rb"work/\w", rb"Users/\w", rb"mnt/\w"))
    + rb")"
    rb"|[A-Za-z]:\\{1,2}Users\\"
)


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    return read_sources("lib_lyco")


@pytest.fixture(scope="module")
def over_budget() -> list[str]:
    sources = read_sources("lib_lyco", "tests", "bench")
    return list(chain.from_iterable(Budget().violations(source) for source in sources))


def test_every_module_keeps_the_rules(sources: list[Source]) -> None:
    assert len(sources) > 20
    assert violations(sources) == []


def test_imports_have_no_cycle(sources: list[Source]) -> None:
    assert import_cycle(sources) == []


def test_files_and_functions_keep_their_budgets(over_budget: list[str]) -> None:
    # a test's parameters are its fixtures
    counted = [
        line for line in over_budget if not (line.startswith("tests.") and line.endswith("parameters"))
    ]
    assert [line for line in counted if line.split()[0] not in FREE_OF_BUDGET] == []


def test_exemptions_are_still_needed(over_budget: list[str]) -> None:
    found = {line.split()[0] for line in over_budget}
    assert set(FREE_OF_BUDGET) <= found


def effects_of_importing(*names: str, folder: Path = ROOT) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-m", "tests.clean_import", *names],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_importing_a_module_has_no_effect(sources: list[Source]) -> None:
    assert effects_of_importing(*(source.name.removesuffix(".__init__") for source in sources)) == []


def test_effects_of_an_import_are_seen(tmp_path: Path) -> None:
    lines = (
        "import os, torch",
        "print('hello')",
        "open(__file__ + '.txt', 'w').close()",
        "os.environ['LOUD'] = '1'",
        "torch.rand(1)",
        "torch.nn.Linear.loud = True",
    )
    (tmp_path / "loud.py").write_text("\n".join(lines), encoding="utf-8")
    found = effects_of_importing("loud", folder=tmp_path)
    seen = (
        "changes environment",
        "changes torch's random state",
        "changes torch.nn",
        "loud: open",
        "prints",
    )
    assert [sum(words in line for line in found) for words in seen] == [1] * 5


def test_tracked_files_name_no_path_of_a_machine() -> None:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    tracked = [ROOT / name for name in listing.stdout.decode("utf-8").split("\0") if name]
    found = [
        f"{path.relative_to(ROOT)}: {match.group().decode()}"
        for path in tracked
        if path.is_file() and (match := MACHINE_PATH.search(path.read_bytes()))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("lib_lyco.algos.a", "import lib_lyco.network.network", "not below"),
        ("lib_lyco.apply.a", "from lib_lyco.train import loop", "not below"),
        ("lib_lyco.algos.a", "def f() -> None:\n    from lib_lyco.files import header", "not below"),
        ("lib_lyco.errors", "from lib_lyco.algos.adapter import Adapter", "not below"),
        ("lib_lyco.algos.a", "from . import adapter", "relative"),
        ("lib_lyco.attic.a", "", "no floor"),
        ("lib_lyco.apply.a", "from modules import shared", "only lib_lyco.host"),
        ("lib_lyco.host.a", "import gradio as gr", "only lib_lyco.ui"),
        ("lib_lyco.train.networks", "import lycoris.modules", "only lib_lyco.train.lycoris"),
        ("lib_lyco.algos.__init__", '"""Words."""\nimport torch', "one docstring"),
        ("lib_lyco.algos.a", "N = 0\ndef f() -> None:\n    global N\n    N = 1", "global"),
        ("lib_lyco.algos.a", "SEEN: set[int] = set()\ndef f() -> None:\n    SEEN.add(1)", "changes"),
        ("lib_lyco.algos.a", "_t = dict[str, int]()\ndef f() -> None:\n    _t['a'] = 1", "changes"),
        (
            "lib_lyco.apply.a",
            "from lib_lyco.algos.b import TABLE\ndef f() -> None:\n    del TABLE[0]",
            "changes",
        ),
        ("lib_lyco.algos.a", "def f(x) -> None: ...", "does not say"),
        ("lib_lyco.algos.a", "def f(x: int): ...", "does not say"),
    ],
)
def test_rules_see_a_violation(name: str, text: str, complaint: str) -> None:
    assert any(complaint in line for line in violations([Source(name, text)]))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lib_lyco.apply.a", "from lib_lyco.algos.adapter import Adapter\nfrom lib_lyco.apply import b"),
        ("lib_lyco.train.lycoris", "def f() -> None:\n    import lycoris.modules"),
        ("lib_lyco.algos.a", "T = {}\ndef f() -> None:\n    T = {}\n    T['a'] = 1"),
        ("lib_lyco.algos.a", "T = {1: 2}\ndef f() -> int:\n    return T[1]"),
    ],
)
def test_rules_leave_good_code_alone(name: str, text: str) -> None:
    assert violations([Source(name, text)]) == []


def test_cycles_are_seen_through_functions() -> None:
    first = Source("lib_lyco.algos.a", "from lib_lyco.algos.b import x")
    second = Source("lib_lyco.algos.b", "def f() -> None:\n    import lib_lyco.algos.a")
    assert import_cycle([first]) == []
    assert len(import_cycle([first, second])) == 3


def test_budgets_are_seen() -> None:
    text = "def f(self, a, b, c, d, e, f, g):\n" + "    pass\n" * 60
    found = list(Budget(file_lines=50).violations(Source("lib_lyco.algos.a", text)))
    assert [line.split(" has ")[1] for line in found] == ["61 lines", "61 lines", "7 parameters"]


@pytest.mark.parametrize("text", [b"see /home/" + b"me/x", b"C:" + b"\\Users\\me", b"='/ro" + b"ot/x'"])
def test_machine_paths_are_seen(text: bytes) -> None:
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize("text", [b"https://a.b/home/x", b"~/work/x", b"src/root/x", b"./work/x"])
def test_other_paths_are_not_machine_paths(text: bytes) -> None:
    assert not MACHINE_PATH.search(text)
