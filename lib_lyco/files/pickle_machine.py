"""An interpreter for the pickles that torch.save writes, which can build containers and nothing else.

A pickle is a program for a stack machine. Here a global (a class or function that it names) is
never imported and a call never made: storages and tensors become descriptions (`Storage`,
`View`), a few harmless classes become `Inert`, any other name ends the reading. Opcodes are taken
apart by the standard library's `pickletools`, so a damaged stream is found by it.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import IO, cast

import torch

MAX_STEPS = 500_000
"""A tensor takes about thirty, the 2,500 of SDXL some 80,000; a step keeps a hundred bytes at most."""


class PickleError(Exception):
    """The stream is damaged, or uses what torch.save does not."""


class ForbiddenNameError(PickleError):
    """The stream names code that a tensor file has no use for."""


@dataclass(frozen=True)
class Storage:
    """A run of elements that lies elsewhere in the file."""

    key: str
    dtype: torch.dtype
    numel: int


@dataclass(frozen=True)
class View:
    """A tensor: a strided view of a storage."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class Inert:
    """What stands for an object of a class that holds no tensors."""

    name: str


@dataclass(frozen=True)
class _Global:
    name: str


_STORAGES = MappingProxyType(
    {
        "torch.DoubleStorage": torch.float64,
        "torch.FloatStorage": torch.float32,
        "torch.HalfStorage": torch.float16,
        "torch.BFloat16Storage": torch.bfloat16,
        "torch.LongStorage": torch.int64,
        "torch.IntStorage": torch.int32,
        "torch.ShortStorage": torch.int16,
        "torch.CharStorage": torch.int8,
        "torch.ByteStorage": torch.uint8,
        "torch.BoolStorage": torch.bool,
    }
)
_DICTS = frozenset({"collections.OrderedDict", "__builtin__.dict", "builtins.dict"})
_TENSORS = frozenset({"torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"})
_PARAMETERS = frozenset({"torch._utils._rebuild_parameter"})
_INERT = frozenset(
    {
        "_codecs.encode",
        "builtins.set",
        "__builtin__.set",
        "numpy.dtype",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "torch.Size",
        "torch.device",
    }
)
_INERT_PACKAGES = ("pytorch_lightning.callbacks.", "lightning.pytorch.callbacks.")
"""Base-model checkpoints carry the state of their trainer's callbacks."""

_CONSTANTS = MappingProxyType({"NONE": None, "NEWTRUE": True, "NEWFALSE": False})
_TUPLES = MappingProxyType({"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3})
_INTEGERS = frozenset({"BININT", "BININT1", "BININT2", "INT", "LONG1", "LONG4"})
_FLOATS = frozenset({"BINFLOAT", "FLOAT"})
_TEXTS = frozenset(
    {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "BINSTRING", "SHORT_BINSTRING", "STRING"}
)
_BYTES = frozenset({"BINBYTES", "SHORT_BINBYTES", "BINBYTES8"})
_LITERALS = _INTEGERS | _FLOATS | _TEXTS | _BYTES
_SILENT = frozenset({"PROTO", "FRAME", "STOP"})


def run(stream: IO[bytes]) -> object:
    """Interprets one pickle from the stream's position and stops right behind it.

    Returns:
        Dicts, lists, tuples and literals, with `View` for each tensor.

    Raises:
        ForbiddenNameError: The pickle names code.
        PickleError: It is damaged or uses what torch.save does not.
    """
    machine = _Machine()
    try:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if step >= MAX_STEPS:
                raise PickleError(f"more than {MAX_STEPS} steps")
            machine.step(opcode.name, cast("object", argument))
        return machine.pop()
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error) as error:
        raise PickleError(f"damaged pickle: {error}") from error


@dataclass
class _Machine:
    stack: list[object] = field(default_factory=list[object])
    below: list[list[object]] = field(default_factory=list[list[object]])
    """The stacks under each mark."""
    memo: dict[int, object] = field(default_factory=dict[int, object])

    def step(self, name: str, argument: object) -> None:
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            self.stack.append(self._tuple(_TUPLES[name]))
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in _SILENT:
            raise PickleError(f"opcode {name}")

    def pop(self) -> object:
        return self.stack.pop()

    def _tuple(self, count: int) -> tuple[object, ...]:
        return tuple(reversed([self.pop() for _ in range(count)]))

    def _items(self) -> list[object]:
        """What was pushed since the last mark."""
        items = self.stack
        self.stack = self.below.pop()
        return items

    def mark(self, _: object) -> None:
        self.below.append(self.stack)
        self.stack = []

    def pop_mark(self, _: object) -> None:
        self._items()

    def drop(self, _: object) -> None:
        self.pop()

    def empty_dict(self, _: object) -> None:
        self.stack.append({})

    def empty_list(self, _: object) -> None:
        self.stack.append([])

    def marked_tuple(self, _: object) -> None:
        items = self._items()
        self.stack.append(tuple(items))

    def marked_list(self, _: object) -> None:
        items = self._items()
        self.stack.append(items)

    def put(self, index: object) -> None:
        self.memo[len(self.memo) if index is None else cast("int", index)] = self.stack[-1]

    def get(self, index: object) -> None:
        self.stack.append(self.memo[cast("int", index)])

    def name_global(self, argument: object) -> None:
        if argument is None:
            name = self.pop()
            argument = f"{self.pop()} {name}"
        self.stack.append(_known(str(argument).replace(" ", ".")))

    def set_item(self, _: object) -> None:
        value, key = self.pop(), self.pop()
        _set(self.stack[-1], [key, value])

    def set_items(self, _: object) -> None:
        items = self._items()
        _set(self.stack[-1], items)

    def append(self, _: object) -> None:
        item = self.pop()
        _extend(self.stack[-1], [item])

    def append_all(self, _: object) -> None:
        items = self._items()
        _extend(self.stack[-1], items)

    def persistent(self, _: object) -> None:
        self.stack.append(_storage(self.pop()))

    def call(self, _: object) -> None:
        arguments, function = self.pop(), self.pop()
        self.stack.append(_called(function, arguments))

    def build(self, _: object) -> None:
        # An object's attributes: an OrderedDict's version notes, an Inert's anything.
        self.pop()
        if not isinstance(self.stack[-1], (dict, Inert)):
            raise PickleError("attributes for what can have none")


_ACTIONS: MappingProxyType[str, Callable[[_Machine, object], None]] = MappingProxyType(
    {
        "MARK": _Machine.mark,
        "POP_MARK": _Machine.pop_mark,
        "POP": _Machine.drop,
        "EMPTY_DICT": _Machine.empty_dict,
        "EMPTY_LIST": _Machine.empty_list,
        "TUPLE": _Machine.marked_tuple,
        "LIST": _Machine.marked_list,
        "PUT": _Machine.put,
        "BINPUT": _Machine.put,
        "LONG_BINPUT": _Machine.put,
        "MEMOIZE": _Machine.put,
        "GET": _Machine.get,
        "BINGET": _Machine.get,
        "LONG_BINGET": _Machine.get,
        "GLOBAL": _Machine.name_global,
        "STACK_GLOBAL": _Machine.name_global,
        "SETITEM": _Machine.set_item,
        "SETITEMS": _Machine.set_items,
        "APPEND": _Machine.append,
        "APPENDS": _Machine.append_all,
        "BINPERSID": _Machine.persistent,
        "REDUCE": _Machine.call,
        "NEWOBJ": _Machine.call,
        "BUILD": _Machine.build,
    }
)


def _known(name: str) -> _Global:
    known = name in _STORAGES or name in _DICTS | _TENSORS | _PARAMETERS | _INERT
    if known or name.startswith(_INERT_PACKAGES):
        return _Global(name)
    raise ForbiddenNameError(name)


def _called(function: object, arguments: object) -> object:
    """What a call of a known global stands for; nothing is called."""
    if not isinstance(function, _Global) or not isinstance(arguments, tuple):
        raise PickleError("a call of what is no known name")
    values = cast("tuple[object, ...]", arguments)
    if function.name in _DICTS and not values:
        return {}
    if function.name in _TENSORS:
        storage, offset, size, stride = values[:4]
        if isinstance(storage, Storage):
            return View(storage, _natural(offset), _naturals(size), _naturals(stride))
    if function.name in _PARAMETERS and isinstance(values[0], View):
        return values[0]
    if function.name in _INERT or function.name.startswith(_INERT_PACKAGES):
        return Inert(function.name)
    raise PickleError(f"a call of {function.name} as torch.save never writes it")


def _storage(persistent_id: object) -> Storage:
    """torch.save's ("storage", class, key, device, numel), and in old files a sixth, None."""
    match persistent_id:
        case ("storage", _Global(name), str(key), _, int(numel)) if name in _STORAGES:
            return Storage(key, _STORAGES[name], _natural(numel))
        case ("storage", _Global(name), str(key), _, int(numel), None) if name in _STORAGES:
            return Storage(key, _STORAGES[name], _natural(numel))
        case _:
            raise PickleError("a reference to something that is no storage")


def _set(target: object, items: list[object]) -> None:
    if isinstance(target, Inert):
        return
    if not isinstance(target, dict) or len(items) % 2:
        raise PickleError("items for what is no dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # A key of nested tuples could take forever to hash.
        if not isinstance(key, (str, int, float)):
            raise PickleError("a dict key that is neither text nor number")
        cast("dict[object, object]", target)[key] = value


def _extend(target: object, items: list[object]) -> None:
    if isinstance(target, Inert):
        return
    if not isinstance(target, list):
        raise PickleError("items for what is no list")
    cast("list[object]", target).extend(items)


def _natural(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise PickleError(f"{value!r:.40} where a size belongs")
    return value


def _naturals(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple):
        raise PickleError("a shape that is no tuple")
    return tuple(_natural(item) for item in cast("tuple[object, ...]", value))
