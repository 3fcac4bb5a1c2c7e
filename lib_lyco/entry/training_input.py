"""What `lyco train` and `lyco plan` are told: a config of ours or of others, flags in either's words."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from lib_lyco.entry.terminal import complain
from lib_lyco.errors import ConfigError
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.config_flags import add_flags, flag_values
from lib_lyco.train.kohya.imported import Imported
from lib_lyco.train.kohya.meanings import RENAMED
from lib_lyco.train.kohya.read import from_flags, is_kohya, read_input
from lib_lyco.train.option import declarations, unknown

_MARK = "--kohya"
_OWN_VALUES, _OWN_SWITCHES = ("device", "processes"), ("debug", "json", "all-images")
"""Flags of the commands themselves, which may stand among sd-scripts'."""


def add_training_input(parser: argparse.ArgumentParser) -> None:
    """Adds the file, one flag per training option, and the rest of a line in sd-scripts' words."""
    parser.add_argument(
        "config",
        nargs="?",
        metavar="CONFIG",
        help="options: our .toml, or whatever lyco import reads; a flag overrides its line",
    )
    parser.add_argument(
        _MARK,
        nargs=argparse.REMAINDER,
        metavar="FLAGS",
        help="all that follows is for sd-scripts' train_network.py (told by itself from its flags)",
    )
    add_flags(parser)


def marked(words: Sequence[str]) -> list[str]:
    """A command line in sd-scripts' words with the mark in front of them, any other in our spelling.

    Raises:
        ConfigError: A flag is unknown; the nearest one is named.
    """
    if _MARK in words:
        return list(words)
    if not is_kohya(words):
        known = _own_flags()
        return [_respelled(word, known) for word in words]
    ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in _OWN_VALUES:
        ours.add_argument(f"--{name}")
    for name in _OWN_SWITCHES:
        ours.add_argument(f"--{name}", action="store_true", dest=name)
    own, theirs = ours.parse_known_args(list(words))
    kept = [f"--{name}={getattr(own, name)}" for name in _OWN_VALUES if getattr(own, name) is not None]
    kept += [f"--{name}" for name in _OWN_SWITCHES if getattr(own, name)]
    if theirs and not theirs[0].startswith("-") and not _is_trainer(theirs[0]):
        kept.append(theirs.pop(0))
    return [*kept, _MARK, *theirs]


def read_training_input(arguments: argparse.Namespace) -> TrainConfig:
    """The config; what a reader of foreign input should know of it is told on stderr.

    Raises:
        ConfigError: It cannot be read or cannot work.
    """
    found = _foreign(arguments.kohya) if arguments.kohya is not None else Imported({})
    if arguments.config:
        if arguments.kohya:
            raise _two_languages(arguments.config, arguments.kohya)
        found = read_input(Path(arguments.config))
    for note in found.notes:
        if note.kind != "obsolete":
            complain(f"note: {note}")
    return Imported({**found.options, **flag_values(arguments)}).config()


def _own_flags() -> list[str]:
    """Every flag of ours, without the hyphens in front."""
    options = [declaration.name.replace("_", "-") for declaration in declarations(TrainConfig)]
    return [*options, *(f"no-{option}" for option in options), *_OWN_VALUES, *_OWN_SWITCHES, "help"]


def _respelled(word: str, known: Sequence[str]) -> str:
    """A word where options may be written as in a config, with underscores."""
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    name = name.replace("_", "-")
    if not any(flag.startswith(name) for flag in known):  # a beginning that fits one flag alone will do
        raise unknown(name, known)
    return f"--{name}{equals}{value}"


def _two_languages(config: str, words: Sequence[str]) -> ConfigError:
    """The error for a file beside flags of sd-scripts, whose defaults would stand against the file."""
    names = [word[2:].split("=")[0] for word in words if word.startswith("--")]
    ours = {**RENAMED, "network_dim": "rank", "network_alpha": "alpha", "output_name": "name"}
    told = [f"--{ours[name].replace('_', '-')} for --{name}" for name in names if name in ours]
    return ConfigError(
        "Flags of sd-scripts cannot change a config.",
        where=config,
        got=" ".join(words[:3]),
        expected="flags of ours beside it" + (": " + ", ".join(told) if told else ""),
        remedy="Write them in our words, or into the file.",
    )


def _is_trainer(word: str) -> bool:
    return PureWindowsPath(word).name.endswith("train_network.py")


def _foreign(words: Sequence[str]) -> Imported:
    if words and _is_trainer(words[0]):
        is_sdxl = PureWindowsPath(words[0]).name.startswith("sdxl_")
        return from_flags(words[1:], is_sdxl=is_sdxl)
    return from_flags(words)
