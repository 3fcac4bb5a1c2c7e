"""The command line: finds the command, parses its arguments, tells errors shortly.

Only the chosen command's module is imported, so that `lyco inspect` does not wait for diffusers.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from lib_lyco.entry.terminal import complain, survive_any_encoding
from lib_lyco.errors import LycoError

COMMANDS: Mapping[str, str] = {
    "demo": "train networks on photographs with the small model that comes along, and show the pictures",
    "train": "train a network on a folder of images",
    "ui": "the training tab in a browser, without a WebUI",
    "plan": "tell what a training will be, before it: images, steps, rates, sizes, memory, mistakes",
    "import": "make a config of a script, a command line or a file written for sd-scripts or kohya_ss",
    "generate": "draw pictures from a prompt with network tags",
    "inspect": "tell what a network file is",
    "xray": "tell how strongly networks act on each block, and where they fight",
}
USAGE_EXIT, INTERRUPT_EXIT = 2, 130


class Command(Protocol):
    """What each `command_*` module offers."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Adds the command's arguments."""
        ...

    def run(self, arguments: argparse.Namespace) -> None:
        """Does it.

        Raises:
            LycoError: What the user asked for cannot be done.
        """
        ...


def load_command(name: str) -> Command:
    """The module of one of `COMMANDS`."""
    return cast(Command, importlib.import_module(f"lib_lyco.entry.command_{name}"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `lyco ARGUMENTS` and returns the exit code: 0, 2 for an error of the user's, 130 for Ctrl-C."""
    survive_any_encoding()
    outer = _outer_parser().parse_args(arguments)
    command = load_command(outer.command)
    parser = argparse.ArgumentParser(prog=f"lyco {outer.command}", description=COMMANDS[outer.command])
    command.configure(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    try:
        words = _words(outer.command, outer.arguments)
    except LycoError as error:
        complain(str(error))
        return USAGE_EXIT
    return _run(command, parser.parse_args(words))


def _words(command: str, words: Sequence[str]) -> Sequence[str]:
    """The arguments; those in sd-scripts' words are marked so where a command takes them."""
    if command not in ("train", "plan"):
        return words
    return importlib.import_module("lib_lyco.entry.training_input").marked(words)


def _outer_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="lyco",
        description=f"LoRA-family networks for Stable Diffusion, without a WebUI.\n\ncommands:\n{listing}",
        epilog="lyco COMMAND --help tells a command's arguments.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...")
    return parser


def _run(command: Command, arguments: argparse.Namespace) -> int:
    try:
        command.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        complain("Stopped.")
        return INTERRUPT_EXIT
    except (LycoError, OSError) as error:
        if arguments.debug:
            raise
        complain(str(error))
        return USAGE_EXIT
    return 0
