"""Command-line flags of the WebUI; it calls `preload` before it reads its command line."""

from __future__ import annotations

import argparse
import os


def preload(parser: argparse.ArgumentParser) -> None:
    """Adds `--lyco-train-dir`, and `--lyco-dir`, the flag of the older LyCORIS extension.

    The latter unless somebody already did.

    It fills the place of the builtin's `--lyco-dir-backcompat`, so that the folder is the builtin's
    second one, too. The builtin's preload comes later and sets that place's default: hence none here.
    """
    parser.add_argument(
        "--lyco-train-dir",
        type=os.path.abspath,
        action="append",
        default=[],
        help="A further folder that training may use when other machines reach the page; may be repeated.",
    )
    if "--lyco-dir" in parser._option_string_actions:  # noqa: SLF001  # pyright: ignore
        return
    parser.add_argument(
        "--lyco-dir",
        dest="lyco_dir_backcompat",
        type=os.path.abspath,
        default=argparse.SUPPRESS,
        help="Path to directory with more networks, beside --lora-dir.",
    )
