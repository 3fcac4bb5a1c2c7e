"""Functions of the WebUI itself, taken out of its sources: their modules could not be imported here."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest


def builtin_functions(path: str, names: Sequence[str], names_used: Mapping[str, object]) -> dict[str, Any]:
    """Functions, or methods as functions, of one file of the WebUI that WEBUI_DIR names.

    Args:
        path: Below the WebUI's folder.
        names: Of the functions.
        names_used: What they use of their module.
    """
    folder = os.environ.get("WEBUI_DIR")
    if not folder:
        pytest.skip("WEBUI_DIR names no WebUI")
    tree = ast.parse((Path(folder) / path).read_text(encoding="utf-8"))
    wanted: list[ast.stmt] = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in names
    ]
    assert len(wanted) == len(names)
    scope = dict(names_used)
    exec(compile(ast.Module(wanted, []), path, "exec"), scope)  # the WebUI's own code, chosen by the tester
    return scope
