"""Command-line flags, derived from the declaration of `TrainConfig`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

from lib_lyco.errors import ConfigError
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.option import Declaration, declarations, split_values, unknown


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would end the program."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError("A flag has a value that cannot work.", where="command line", got=message)


def parse_words(words: Sequence[str]) -> dict[str, Any]:
    """The options of a command line in our words, as `lyco train` would read it.

    Raises:
        ConfigError: A flag is unknown or has a value that cannot work, or a file is named.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    add_flags(parser)
    for name in ("--device", "--processes"):
        parser.add_argument(name)
    found, rest = parser.parse_known_args(list(words))
    if rest and rest[0].startswith("--"):
        name = rest[0].removeprefix("--").removeprefix("no-").partition("=")[0].replace("-", "_")
        raise unknown(name, [declaration.name for declaration in declarations(TrainConfig)])
    if rest:
        raise ConfigError(
            "The command line names a file.",
            where="command line",
            got=rest[0],
            expected="flags alone",
            remedy="Take the file itself.",
        )
    return flag_values(found)


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
    if declaration.item is not None:
        name = declaration.item.__name__.upper()
        metavar = ",".join([name] * (declaration.length or 1))
        return arguments | {"type": partial(_several, declaration), "metavar": metavar}
    return arguments | {"type": declaration.kind, "metavar": declaration.kind.__name__.upper()}


def _several(declaration: Declaration, text: str) -> tuple[Any, ...]:
    try:
        return split_values(declaration, text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(f"{error.got}, expected {error.expected}") from error
