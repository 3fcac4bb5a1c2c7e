"""How a training option is declared: type and default in the field, the rest in its metadata."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from lib_lyco.errors import ConfigError

_METADATA_KEY = "option"
_COMMA = re.compile(r",(?![^(\[{]*[)\]}])")
"""One outside of brackets: `betas=(0.9, 0.99)` is one value."""


@dataclass(frozen=True)
class Option:
    """What a form, a TOML file, a flag and the documentation need to know about one option."""

    group: str
    help: str
    low: float | None = None
    """Smallest allowed number, inclusive."""
    high: float | None = None
    """Largest allowed number, inclusive."""
    choices: tuple[str, ...] = ()
    multiple_of: int | None = None
    free: bool = False
    """Whether a resumed run may have another value: it does not decide what is trained, or what it
    names is compared by content."""


@dataclass(frozen=True)
class Declaration:
    """One option as declared: its name, its type with `None` taken out, its default and the rest."""

    name: str
    kind: type
    """bool, int, float, str or tuple."""
    optional: bool
    """Whether None is a value (nothing set)."""
    default: Any
    option: Option
    item: type | None = None
    """What a tuple holds: int, float or str."""
    length: int | None = None
    """How many it holds; None if any number."""


def option(default: Any, group: str, help_text: str, **limits: Any) -> Any:
    """A dataclass field that carries its `Option`; `limits` are the other fields of `Option`."""
    declared = Option(group=group, help=help_text, **limits)
    return dataclasses.field(default=default, metadata={_METADATA_KEY: declared})


@lru_cache(64)
def declarations(config: type[Any]) -> tuple[Declaration, ...]:
    """Every option of a config class, in the order of its declaration."""
    hints = typing.get_type_hints(config)
    return tuple(_declaration(field, hints[field.name]) for field in dataclasses.fields(config))


def _declaration(field: dataclasses.Field[Any], hint: Any) -> Declaration:
    arguments = typing.get_args(hint)
    optional = type(None) in arguments
    if optional:
        (hint,) = (argument for argument in arguments if argument is not type(None))
    kind, items = typing.get_origin(hint) or hint, typing.get_args(hint)
    return Declaration(
        name=field.name,
        kind=kind,
        optional=optional,
        default=field.default,
        option=field.metadata[_METADATA_KEY],
        item=items[0] if items else None,
        length=len(items) if items and items[-1] is not ... else None,
    )


def checked(declaration: Declaration, value: Any) -> Any:
    """Returns `value` as the option's type.

    Raises:
        ConfigError: The type is wrong, or the value is out of the declared bounds.
    """
    if value is None and declaration.optional:
        return None
    value = _typed(declaration, value)
    limits = declaration.option
    if limits.choices and value not in limits.choices:
        raise wrong(declaration.name, value, "one of " + ", ".join(limits.choices))
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, bool | str):
            continue
        low, high, step = limits.low, limits.high, limits.multiple_of
        if number != number or (low is not None and number < low) or (high is not None and number > high):
            raise wrong(declaration.name, value, _bounds(limits))
        if step is not None and number % step:
            raise wrong(declaration.name, value, f"a multiple of {step}")
    return value


def _bounds(limits: Option) -> str:
    if limits.high is None:
        return f"at least {limits.low}" if limits.low is not None else "a number"
    return f"at most {limits.high}" if limits.low is None else f"from {limits.low} to {limits.high}"


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _typed(declaration: Declaration, value: Any) -> Any:
    if declaration.kind is tuple:
        return _several(declaration, value)
    return _one(declaration, declaration.kind, value)


def _several(declaration: Declaration, value: Any) -> tuple[Any, ...]:
    """Many values, as a list or as text with commas; one alone stands for a pair of it: a square."""
    kind, length = declaration.item, declaration.length
    assert kind is not None, "a tuple declares what it holds"
    if isinstance(value, str):
        value = split_values(declaration, value)
    given: Sequence[Any] = value if isinstance(value, list | tuple) else (value,) * (length or 1)
    if length is not None and len(given) != length:
        raise wrong(declaration.name, value, f"{_KINDS[kind]}, or {length} of them")
    return tuple(_one(declaration, kind, one) for one in given)


def split_values(declaration: Declaration, text: str) -> tuple[Any, ...]:
    """The values of a tuple from text with commas outside of brackets, or 512x768 for a pair.

    Raises:
        ConfigError: One of them is of another type.
    """
    kind, length = declaration.item, declaration.length
    assert kind is not None, "only a tuple has several values"
    parts = _COMMA.split(text if length is None else text.replace("x", ","))
    try:
        values = tuple(kind(part.strip()) for part in parts if part.strip())
    except ValueError as error:
        raise wrong(declaration.name, text, f"{_KINDS[kind]}, or several with commas") from error
    return values * length if length and len(values) == 1 else values


def _one(declaration: Declaration, kind: type, value: Any) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise wrong(declaration.name, value, _KINDS[kind])


def wrong(name: str, value: Any, expected: str, remedy: str = "") -> ConfigError:
    """The error for an option whose value cannot work."""
    return ConfigError(
        f"The option {name} has a value that cannot work.",
        where=name,
        got=repr(value),
        expected=expected,
        remedy=remedy,
    )


def unknown(name: str, known: Sequence[str]) -> ConfigError:
    """The error for a name that is no option, with the nearest one that is."""
    near = get_close_matches(name, known, n=1)
    return ConfigError(
        f"There is no training option {name}.",
        where=name,
        expected=f"did you mean {near[0]}?"
        if near
        else f"one of {len(known)}; lyco train --help tells them",
        remedy="Correct or remove it.",
    )
