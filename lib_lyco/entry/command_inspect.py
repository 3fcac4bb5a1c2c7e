"""`lyco inspect`: what network files are."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_lyco.entry.terminal import say
from lib_lyco.tools.inspect import inspect


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the file and how it is told."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="network files")
    parser.add_argument("--json", action="store_true", help="tell as JSON, one object for each file")
    parser.add_argument(
        "--deep", action="store_true", help="read every value too and look for NaN and infinity"
    )


def run(arguments: argparse.Namespace) -> None:
    """Tells what each file is."""
    for number, path in enumerate(arguments.files):
        report = inspect(path, deep=arguments.deep)
        if number and not arguments.json:
            say()
        say(report.to_json() if arguments.json else report.to_text())
