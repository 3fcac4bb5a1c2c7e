"""The flags of sd-scripts' trainers for networks.

They are parsed by argparse's own rules, as there: `--name value` or `--name=value`, a name may be cut
short where that is unambiguous, lists are words up to the next flag.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from lib_lyco.errors import ConfigError
from lib_lyco.train.kohya.names import ALL_FLAGS, FLOAT_LISTS, FLOATS, INTS, SWITCHES, TEXT_LISTS, TEXTS


class _Parser(argparse.ArgumentParser):
    def __init__(self, where: str) -> None:
        super().__init__(add_help=False)
        self._where = where

    def error(self, message: str) -> NoReturn:
        raise ConfigError(
            "A flag of sd-scripts has a value that cannot work.", where=self._where, got=message
        )


def parse_flags(words: Sequence[str], where: str = "") -> dict[str, Any]:
    """The flags that were given, by name; those with an empty text are as not given.

    Raises:
        ConfigError: A flag is unknown (the nearest known one is told), or its value has the wrong type.
    """
    parser = _Parser(where)
    for name in SWITCHES:
        parser.add_argument(f"--{name}", action="store_true", default=None)
    for names, kind in ((INTS, int), (FLOATS, float), (TEXTS, str)):
        for name in names:
            parser.add_argument(f"--{name}", type=_emptiable(kind), metavar=kind.__name__)
    for names, kind in ((TEXT_LISTS, str), (FLOAT_LISTS, float)):
        for name in names:
            parser.add_argument(f"--{name}", type=kind, nargs="*")
    found, unknown = parser.parse_known_args(list(words))
    if unknown:
        raise _unknown(unknown[0], where)
    return {name: value for name, value in vars(found).items() if value is not None and value != ""}


def _emptiable(kind: type) -> Any:
    """Batch files leave `--vae=` behind, meaning none."""

    def converted(text: str) -> Any:
        return kind(text) if text.strip() else None

    converted.__name__ = kind.__name__
    return converted


def _unknown(word: str, where: str) -> ConfigError:
    name = word.lstrip("-").split("=")[0]
    near = get_close_matches(name, ALL_FLAGS, n=1)
    return ConfigError(
        f"sd-scripts' trainer for networks has no flag {word.split('=')[0]}.",
        where=where,
        got=word,
        expected=f"did you mean --{near[0]}?" if near else "a flag of train_network.py",
        remedy="Correct or remove it.",
    )


def flag_words(values: Mapping[str, Any]) -> list[str]:
    """Values by flag as the words of a command line; false and None are left out."""
    words: list[str] = []
    for name, value in values.items():
        if value is None or value is False:
            continue
        if value is True:
            words.append(f"--{name}")
        elif isinstance(value, list | tuple):
            items: Iterable[Any] = value
            words += [f"--{name}", *(str(one) for one in items)]
        else:
            words.append(f"--{name}={value}")
    return words
