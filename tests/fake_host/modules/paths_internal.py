"""Where everything lies. `--data-dir` is read before any other flag."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_early = argparse.ArgumentParser(add_help=False)
_early.add_argument("--data-dir", default=".")

script_path: str = str(Path(__file__).resolve().parent.parent)
data_path: str = _early.parse_known_args(sys.argv[1:])[0].data_dir
models_path: str = str(Path(data_path, "models"))
extensions_dir: str = str(Path(data_path, "extensions"))


def normalized_filepath(filepath: str) -> str:
    """A path as the flags give it, made absolute."""
    return str(Path(filepath).absolute())
