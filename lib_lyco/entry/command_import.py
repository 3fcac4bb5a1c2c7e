"""`lyco import`: a config out of what was written for sd-scripts or kohya_ss."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lib_lyco.entry.terminal import complain, say
from lib_lyco.train.config_file import dump_values
from lib_lyco.train.kohya.imported import Imported
from lib_lyco.train.kohya.read import read_input, read_text


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the file."""
    parser.add_argument(
        "file",
        metavar="FILE",
        help="a .bat, .sh or .ps1 that starts a training, a kohya_ss .json, sd-scripts' .toml, "
        "or - for a pasted command line",
    )


def run(arguments: argparse.Namespace) -> None:
    """Prints the config as TOML; its notes stand in it as comments, and those that matter on stderr."""
    found = read_text(sys.stdin.read()) if arguments.file == "-" else read_input(Path(arguments.file))
    say(imported_toml(found))
    for note in found.notes:
        if note.kind == "attention":
            complain(f"attention: {note.flag}: {note.text}")


def imported_toml(found: Imported) -> str:
    """The options that were set as TOML, each note a comment above.

    Raises:
        ConfigError: The options contradict each other.
    """
    notes = "".join(f"# {note}\n" for note in found.notes)
    return f"{notes}\n{dump_values(found.config(), found.options)}".strip()
