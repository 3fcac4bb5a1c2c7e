"""Code of programs that are no packages: taken out of their sources, without what their modules import."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def sources(variable: str) -> Path:
    """The folder that an environment variable names; skips the test where it names none."""
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"{variable} names no folder of sources")
    return Path(folder)


def definitions(path: Path, names: Collection[str], scope: Mapping[str, object]) -> dict[str, Any]:
    """Functions, classes and tables of a file, by name.

    Args:
        path: The file.
        names: Of what stands at its outermost level.
        scope: What they use of their module.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wanted = [node for node in tree.body if _name(node) in names]
    assert {_name(node) for node in wanted} == set(names)
    found = dict(scope)
    exec(compile(ast.Module(wanted, []), str(path), "exec"), found)  # code that the tester chose
    return found


def _name(node: ast.stmt) -> str:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    target = node.targets[0] if isinstance(node, ast.Assign) else None
    return target.id if isinstance(target, ast.Name) else ""


@contextmanager
def imported(
    folder: Path, names: Collection[str], stubs: Mapping[str, Mapping[str, object]]
) -> Generator[dict[str, Any]]:
    """Modules of a folder, with others in the place of what they import; none of them stays.

    Args:
        folder: Where the modules lie.
        names: Of the modules.
        stubs: Names of modules and what each has.
    """
    before = dict(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        for name, members in stubs.items():
            made = ModuleType(name)
            made.__dict__.update(members)
            made.__path__ = [str(folder / name.replace(".", "/"))]
            sys.modules[name] = made
            parent, _, last = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], last, made)
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(folder))
        for name in sys.modules.keys() - before.keys():
            del sys.modules[name]
        sys.modules.update(before)
