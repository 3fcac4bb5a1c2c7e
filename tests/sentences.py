"""The sentences that our code makes, read from its syntax trees: texts with {} where values stand."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

PROSE = re.compile(r"[A-Za-z]{3,} [a-z]{2,}")
_SENTENCE_END = re.compile(r"(?<=[.?]) (?=[A-Z{])|(?<=\}) (?=[A-Z][a-z])")
"""A value that begins or ends there is taken for sentences of its own."""
_VALUE = "{}"
_PART = (" ", ",")
"""What begins so is a part of a sentence, and stands in the whole one, too."""
_NOT_SHOWN = ("add_argument", "add_parser", "execute", "print", "warning", "compile")
"""Calls whose texts are for the terminal, the log or another program."""

_Names = Mapping[str, Sequence[str]]


def made_sentences(files: Iterable[Path]) -> dict[str, str]:
    """Each sentence with the place of its first text, but for docstrings, logs and assertions."""
    found: dict[str, str] = {}
    for file in files:
        for line, text in _texts(ast.parse(file.read_text(encoding="utf-8")), {}):
            for sentence in sentences_of(text):
                if PROSE.search(sentence) and not text.startswith(_PART):
                    found.setdefault(sentence, f"{file.name}:{line}")
    return found


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, each on one line."""
    return _SENTENCE_END.split(" ".join(text.split()))


def normal(sentence: str) -> str:
    """A sentence in the form that is compared: values without names, no full stop."""
    return re.sub(r"\{\w*\}", _VALUE, sentence).rstrip(".")


def _texts(node: ast.AST, names: _Names) -> Iterator[tuple[int, str]]:
    """All texts below a node as wholes: what is put together of parts is one."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) or isinstance(node, ast.Assert):
        return
    if isinstance(node, ast.Call) and _name(node.func) in _NOT_SHOWN:
        return
    if isinstance(node, ast.FunctionDef):
        names = _named(node)
    if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
        forms = _forms(node, names)
        if forms != [_VALUE]:
            yield from ((node.lineno, form) for form in forms)
            return
    for child in ast.iter_child_nodes(node):
        yield from _texts(child, names)


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _named(function: ast.FunctionDef) -> _Names:
    """The texts that a function gives a name."""
    found: dict[str, list[str]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name):
            forms = _forms(node.value, found)
            if forms != [_VALUE]:
                found[target.id] = found.get(target.id, []) + forms
    return found


def _forms(node: ast.AST, names: _Names) -> list[str]:
    """What an expression may be as a text."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.Name(id=name):
            return list(names.get(name, [_VALUE]))
        case ast.JoinedStr(values=values):
            return ["".join(parts) for parts in itertools.product(*(_forms(one, names) for one in values))]
        case ast.FormattedValue(value=value):
            return _forms(value, names)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            sums = [one + other for one in _forms(left, names) for other in _forms(right, names)]
            return sums if any(one.replace(_VALUE, "") for one in sums) else [_VALUE]
        case ast.IfExp(body=body, orelse=orelse):
            return _forms(body, names) + _forms(orelse, names)
        case _:
            return [_VALUE]
