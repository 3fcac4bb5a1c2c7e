"""Where this WebUI keeps networks."""

from __future__ import annotations

from pathlib import Path

from modules import cache, shared
from modules.paths_internal import data_path


def network_folders() -> list[Path]:
    """The folders of the builtin's flags, which exist even where it is disabled; ours adds to them."""
    named = [getattr(shared.cmd_opts, flag, None) for flag in ("lora_dir", "lyco_dir_backcompat")]
    return [Path(folder) for folder in named if folder]


def index_path() -> Path:
    """The file of the index, in the WebUI's own cache folder. WebUIs with one such folder share it."""
    folder = getattr(cache, "cache_dir", None) or Path(data_path, "cache")
    return Path(folder, "lyco", "index.sqlite")
