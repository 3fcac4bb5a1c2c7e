"""How a training option is declared: type and default in the field, the rest in its metadata."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from lib_lyco.errors import ConfigError

_METADATA_KEY = "option"


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
    """bool, int, float, str or tuple (of two ints)."""
    optional: bool
    """Whether None is a value (nothing set)."""
    default: Any
    option: Option


def option(default: Any, group: str, help_text: str, **limits: Any) -> Any:
    """A dataclass field that carries its `Option`; `limits` are the other fields of `Option`."""
    declared = Option(group=group, help=help_text, **limits)
    return dataclasses.field(default=default, metadata={_METADATA_KEY: declared})


def declarations(config: type[Any]) -> tuple[Declaration, ...]:
    """Every option of a config class, in the order of its declaration."""
    hints = typing.get_type_hints(config)
    return tuple(
        Declaration(field.name, *_kind(hints[field.name]), field.default, field.metadata[_METADATA_KEY])
        for field in dataclasses.fields(config)
    )


def _kind(hint: Any) -> tuple[type, bool]:
    arguments = typing.get_args(hint)
    optional = type(None) in arguments
    if optional:
        (hint,) = (argument for argument in arguments if argument is not type(None))
    return typing.get_origin(hint) or hint, optional


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
    if isinstance(value, bool | str):
        return value
    for number in value if isinstance(value, tuple) else (value,):
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


def _typed(declaration: Declaration, value: Any) -> Any:
    kind = declaration.kind
    if kind is tuple:
        return _pair(declaration.name, value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise wrong(
        declaration.name,
        value,
        {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, "a text"),
    )


def _pair(name: str, value: Any) -> tuple[int, int]:
    """A size: one number for a square, or width and height."""
    sides: Sequence[Any] = value if isinstance(value, list | tuple) else (value, value)
    if len(sides) == 2 and all(isinstance(side, int) and not isinstance(side, bool) for side in sides):
        return sides[0], sides[1]
    raise wrong(name, value, "one whole number, or width and height")


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
        expected=f"did you mean {near[0]}?" if near else "one of " + ", ".join(known),
        remedy="Correct or remove it.",
    )
