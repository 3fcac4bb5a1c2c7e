"""install.py asks for the right packages, runs in a process of its own and never fails."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import time
from types import ModuleType

import pytest

from tests.architecture import ROOT

PINNED = ("torch", "transformers", "gradio", "pydantic", "safetensors", "einops", "numpy")


def load(name: str) -> ModuleType:
    """A file of the repository's root, loaded as the WebUI loads it: by its path."""
    spec = importlib.util.spec_from_file_location(f"{name}.py", ROOT / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def installer() -> ModuleType:
    return load("install")


@pytest.mark.parametrize(
    ("torch", "lycoris", "requirement"),
    [
        # reference: 4.1 fails to import before torch 2.7, 4.0.0 is the newest that does not
        ("2.1.2+cu121", None, "lycoris-lora==4.0.0"),
        ("2.6.0", None, "lycoris-lora==4.0.0"),
        ("2.7.0", None, "lycoris-lora==4.1.3"),
        ("2.13.0+cpu", None, "lycoris-lora==4.1.3"),
        ("2.10.0a0+git", None, "lycoris-lora==4.1.3"),
        ("2.1.2", "4.1.3", "lycoris-lora==4.0.0"),
        ("2.1.2", "4.0.0", None),
        ("2.1.2", "3.4.0", None),
        ("2.13.0", "4.0.0", None),
        ("2.13.0", "5.0.0", None),
        (None, None, None),
    ],
)
def test_version_follows_torch(
    installer: ModuleType, torch: str | None, lycoris: str | None, requirement: str | None
) -> None:
    found = installer.wanted(torch, lycoris, has_lycoris=lycoris is not None, has_toml=True)
    assert found == ([requirement] if requirement else [])


def test_lycoris_of_unknown_version_is_left_alone(installer: ModuleType) -> None:
    assert installer.wanted("2.1.2", None, has_lycoris=True, has_toml=True) == []


def test_toml_is_asked_for(installer: ModuleType) -> None:
    assert installer.wanted("2.1.2", "4.0.0", has_lycoris=True, has_toml=False) == ["toml"]


def test_versions_are_those_of_the_packages(installer: ModuleType) -> None:
    """Read without importing, and the same as the package manager says."""
    for package, read, name in (
        ("torch", installer.torch_version, "torch"),
        ("lycoris", installer.lycoris_version, "lycoris-lora"),
    ):
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.origin is not None
        # a wheel may be filed without the `+cu121` that its version.py says
        found = read(os.path.dirname(spec.origin)).partition("+")[0]
        assert found == importlib.metadata.version(name).partition("+")[0]
    assert installer.torch_version(None) is None
    assert installer.lycoris_version(None) is None


def test_pip_is_told_to_touch_nothing_else(installer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("INDEX_URL", "https://mirror.example/simple")
    assert installer.install("toml") == "lyco: installed toml"
    assert "--no-deps" in commands[0]
    assert commands[0][-3:] == ["--index-url", "https://mirror.example/simple", "toml"]
    assert commands[0][:3] == [sys.executable, "-m", "pip"]
    requirements = {requirement for _, requirement in installer.LYCORIS} | {commands[0][-1]}
    assert not requirements & set(PINNED)


def test_offline_is_one_line_and_no_failure(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INDEX_URL", "http://127.0.0.1:9/simple")

    def wanted(*_: object, **__: object) -> list[str]:
        return ["lyco-test-absent==1"]

    monkeypatch.setattr(installer, "wanted", wanted)
    installer.main()
    out, err = capfd.readouterr()
    assert out.startswith("lyco: lyco-test-absent==1 could not be installed (")
    assert out.count("\n") == 1 and "Networks work without it" in out and not err


def test_no_pip_at_all_is_one_line(installer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", os.path.join(os.sep, "no", "python"))
    assert "could not be installed" in installer.install("toml")


def test_nothing_to_do_is_silent_and_quick(
    installer: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    before = set(sys.modules)
    start = time.perf_counter()
    installer.main()
    seconds = time.perf_counter() - start
    assert capfd.readouterr() == ("", "")
    assert set(sys.modules) == before
    assert seconds < 0.1  # measured: 1 ms
