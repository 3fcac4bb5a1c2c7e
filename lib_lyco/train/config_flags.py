"""Command-line flags, derived from the declaration of `TrainConfig`."""

from __future__ import annotations

import argparse
from typing import Any

from lib_lyco.train.config import TrainConfig
from lib_lyco.train.option import Declaration, declarations


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds one flag per option, in one argument group per option group; nothing has a default."""
    groups: dict[str, Any] = {}
    for declaration in declarations(TrainConfig):
        title = declaration.option.group
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        groups[title].add_argument(_flag(declaration), **_arguments(declaration))


def flag_values(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options that were given as flags, ready for `TrainConfig.replaced`."""
    given = vars(arguments)
    names = [declaration.name for declaration in declarations(TrainConfig)]
    return {name: given[name] for name in names if name in given}


def _flag(declaration: Declaration) -> str:
    return "--" + declaration.name.replace("_", "-")


def _arguments(declaration: Declaration) -> dict[str, Any]:
    option, default = declaration.option, declaration.default
    text = option.help if default is None or default == "" else f"{option.help} Default: {default}."
    arguments: dict[str, Any] = {
        "dest": declaration.name,
        "default": argparse.SUPPRESS,
        "help": text.replace("%", "%%"),
    }
    if declaration.kind is bool:
        return arguments | {"action": argparse.BooleanOptionalAction}
    if option.choices:
        return arguments | {"choices": option.choices}
    if declaration.kind is tuple:
        return arguments | {"type": _size, "metavar": "WIDTH[,HEIGHT]"}
    return arguments | {"type": declaration.kind, "metavar": declaration.kind.__name__.upper()}


def _size(text: str) -> tuple[int, int]:
    sides = [int(side) for side in text.replace("x", ",").split(",")]
    if len(sides) not in (1, 2):
        raise argparse.ArgumentTypeError("one number, or width and height with a comma")
    return sides[0], sides[-1]
