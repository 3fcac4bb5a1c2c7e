"""The rules of the house as functions: sources in, one line per violation out.

DESIGN's floors, the budgets and the habits are checked on syntax trees alone; nothing is imported here.
Imports inside functions and under `TYPE_CHECKING` count like any other.
"""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FLOORS: Mapping[str, int] = {
    "__main__": 7,
    "entry": 6,
    **dict.fromkeys(("host", "ui", "demo"), 5),
    "studio": 4,
    **dict.fromkeys(("apply", "train", "tools"), 3),
    **dict.fromkeys(("network", "catalog", "models"), 2),
    **dict.fromkeys(("algos", "files", "naming", "prompt", "web"), 1),
    "errors": 0,
}

OWNERS: Mapping[str, str] = {
    "modules": "lib_lyco.host",
    "gradio": "lib_lyco.ui",
    "lycoris": "lib_lyco.train.lycoris",
}
"""Third-party package -> the only module, or package, that may import it."""

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

MUTATORS = ("add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "update")
CONTAINERS = ("list", "dict", "set", "bytearray", "defaultdict", "deque", "OrderedDict", "Counter")


@dataclass(frozen=True)
class Source:
    """One Python file: dotted name, text, tree."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.name)

    @property
    def package(self) -> str:
        """The part of the house it belongs to: the word after `lib_lyco`."""
        return self.name.split(".")[1] if "." in self.name else ""

    @property
    def functions(self) -> Iterator[FunctionNode]:
        return (node for node in ast.walk(self.tree) if isinstance(node, FunctionNode))


def read_sources(*folders: str) -> list[Source]:
    """Every Python file below the repository's folders."""
    return [
        Source(".".join(path.relative_to(ROOT).with_suffix("").parts), path.read_text(encoding="utf-8"))
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def imported_names(source: Source) -> Iterator[str]:
    """Each dotted name imported anywhere; `from a import b` is `a.b`; relative ones start with a dot."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def third_party_names(sources: Sequence[Source]) -> set[str]:
    """What the sources import from neither the standard library nor this repository."""
    ours = {"lib_lyco", "tests", "bench", *sys.stdlib_module_names}
    return {name for source in sources for name in imported_names(source) if name.split(".")[0] not in ours}


def floor_violations(source: Source) -> Iterator[str]:
    """Imports that do not point strictly down, and packages of others that only one place may import."""
    if source.package and source.package != "__init__" and source.package not in FLOORS:
        yield f"{source.name}: the package has no floor"
    for name in imported_names(source):
        root, _, rest = name.partition(".")
        if not root:
            yield f"{source.name}: relative import {name}"
        elif root == "lib_lyco":
            package = rest.split(".")[0]
            if package != source.package and FLOORS.get(package, 99) >= FLOORS.get(source.package, -1):
                yield f"{source.name} imports {name}, which is not below it"
        elif root in OWNERS and not f"{source.name}.".startswith(f"{OWNERS[root]}."):
            yield f"{source.name} imports {name}; only {OWNERS[root]} may"


def import_cycle(sources: Sequence[Source]) -> list[str]:
    """One cycle of imports, or an empty list."""
    known = {source.name for source in sources}

    def module_of(name: str) -> str | None:
        return next((dotted for dotted in (name, name.rpartition(".")[0]) if dotted in known), None)

    edges = {
        source.name: {module for name in imported_names(source) if (module := module_of(name))}
        for source in sources
    }
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def init_violations(source: Source) -> Iterator[str]:
    """An `__init__` that is more, or less, than a docstring."""
    if source.name.endswith("__init__") and (
        len(source.tree.body) != 1 or not ast.get_docstring(source.tree)
    ):
        yield f"{source.name}: must be one docstring"


def state_violations(source: Source) -> Iterator[str]:
    """`global`, and containers of the module that a function changes."""
    containers = {name for node in source.tree.body for name in container_names(node)}
    for function in source.functions:
        own = local_names(function)
        for node in ast.walk(function):
            if isinstance(node, ast.Global):
                yield f"{source.name}:{node.lineno}: global {', '.join(node.names)}"
            name = mutated_name(node)
            if name in containers and name not in own:
                yield f"{source.name}: {function.name} changes the module's {name}"


def container_names(node: ast.stmt) -> Iterator[str]:
    """Names that a statement of the module binds to a mutable container, or imports in capitals."""
    if isinstance(node, ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in node.names if alias.name.isupper())
    elif isinstance(node, ast.Assign | ast.AnnAssign) and is_container(node.value):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def is_container(value: ast.expr | None) -> bool:
    """Whether an expression builds a list, dict, set or one of their relatives."""
    if isinstance(value, ast.Call):
        called = value.func.value if isinstance(value.func, ast.Subscript) else value.func
        return isinstance(called, ast.Name) and called.id in CONTAINERS
    return isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)


def local_names(function: FunctionNode) -> set[str]:
    """Parameters and names that the function binds itself."""
    bound = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and is_stored(node)}
    return bound | {argument.arg for argument in parameters(function)}


def is_stored(node: ast.Name | ast.Subscript) -> bool:
    """Whether an assignment or a deletion ends at the node."""
    return isinstance(node.ctx, ast.Store | ast.Del)


def mutated_name(node: ast.AST) -> str | None:
    """The name whose content a node changes: `x[...] = `, `del x[...]`, `x.append()`."""
    changed: ast.expr | None = None
    if isinstance(node, ast.Subscript) and is_stored(node):
        changed = node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
        changed = node.func.value
    return changed.id if isinstance(changed, ast.Name) else None


def parameters(function: FunctionNode) -> list[ast.arg]:
    """All parameters, without `self` and `cls`."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [extra for extra in (arguments.vararg, arguments.kwarg) if extra]
    return [argument for argument in every if argument.arg not in ("self", "cls")]


def annotation_violations(source: Source) -> Iterator[str]:
    """Parameters and returns without a type."""
    for function in source.functions:
        bare = [argument.arg for argument in parameters(function) if argument.annotation is None]
        if bare or function.returns is None:
            what = ", ".join(bare) or "its return"
            yield f"{source.name}:{function.lineno}: {function.name} does not say what {what} is"


def num_lines(function: FunctionNode) -> int:
    """Lines of a function without its decorators and its docstring."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return total
    docstring = function.body[0]
    return total - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


@dataclass(frozen=True)
class Budget:
    """How long a file and a function may be, and how many parameters a function may take."""

    file_lines: int = 400
    function_lines: int = 50
    num_parameters: int = 6

    def violations(self, source: Source) -> Iterator[str]:
        """What is over the budget; the first word is what an exemption has to name."""
        if (lines := source.text.count("\n")) > self.file_lines:
            yield f"{source.name} has {lines} lines"
        for function in source.functions:
            name = f"{source.name}.{function.name}"
            if (lines := num_lines(function)) > self.function_lines:
                yield f"{name} has {lines} lines"
            if (count := len(parameters(function))) > self.num_parameters:
                yield f"{name} has {count} parameters"


def violations(sources: Sequence[Source]) -> list[str]:
    """Everything but budgets and cycles, over all sources."""
    rules = (floor_violations, init_violations, state_violations, annotation_violations)
    return list(chain.from_iterable(rule(source) for source in sources for rule in rules))
