"""What `lyco train` and `lyco plan` are told: a config of ours or of others, flags in either's words."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from lib_lyco.entry.terminal import complain
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.config_flags import add_flags, flag_values
from lib_lyco.train.kohya.imported import Imported
from lib_lyco.train.kohya.read import from_flags, is_kohya, read_input

_MARK = "--kohya"


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
    """A command line in sd-scripts' words with the mark in front of them, any other as it is."""
    if _MARK in words or not is_kohya(words):
        return list(words)
    ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    ours.add_argument("--device")
    for switch in ("--debug", "--json"):
        ours.add_argument(switch, action="store_true")
    own, theirs = ours.parse_known_args(list(words))
    kept = ["--device", own.device] if own.device else []
    kept += [f"--{name}" for name in ("debug", "json") if getattr(own, name)]
    return [*kept, _MARK, *theirs]


def read_training_input(arguments: argparse.Namespace) -> TrainConfig:
    """The config; what a reader of foreign input should know of it is told on stderr.

    Raises:
        ConfigError: It cannot be read or cannot work.
    """
    found = _foreign(arguments.kohya) if arguments.kohya is not None else Imported({})
    if arguments.config:
        found = read_input(Path(arguments.config))
    for note in found.notes:
        if note.kind != "obsolete":
            complain(f"note: {note}")
    return Imported({**found.options, **flag_values(arguments)}).config()


def _foreign(words: Sequence[str]) -> Imported:
    trainer = PureWindowsPath(words[0]).name if words else ""
    is_named = trainer.endswith("train_network.py")
    return from_flags(words[1:] if is_named else words, is_sdxl=trainer.startswith("sdxl_"))
