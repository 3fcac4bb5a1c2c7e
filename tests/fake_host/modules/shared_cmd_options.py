"""The flags: the host's own, then those of extensions (`preload.py`), the builtin's last."""

from __future__ import annotations

import argparse
import runpy
from pathlib import Path

from .paths_internal import data_path, extensions_dir, models_path, normalized_filepath


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", default=data_path)
    parser.add_argument("--ui-settings-file", default=str(Path(data_path, "config.json")))
    parser.add_argument("--embeddings-dir", default=str(Path(data_path, "embeddings")))
    parser.add_argument("--api-auth", default=None)
    parser.add_argument("--gradio-auth", default=None)
    parser.add_argument("--cors-allow-origins", default=None)
    parser.add_argument("--cors-allow-origins-regex", default=None)
    for flag in (
        "api",
        "nowebui",
        "medvram",
        "lowvram",
        "no-half",
        "listen",
        "disable-console-progressbars",
    ):
        parser.add_argument(f"--{flag}", action="store_true")
    for preload in sorted(Path(extensions_dir).glob("*/preload.py")):
        runpy.run_path(str(preload))["preload"](parser)
    for flag, folder in (("--lora-dir", "Lora"), ("--lyco-dir-backcompat", "LyCORIS")):
        parser.add_argument(flag, type=normalized_filepath, default=str(Path(models_path, folder)))
    return parser


parser = _parser()
cmd_opts = parser.parse_args()
