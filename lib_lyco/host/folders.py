"""Where this WebUI keeps networks."""

from __future__ import annotations

from pathlib import Path

from modules import shared


def network_folders() -> list[Path]:
    """The folders of the builtin's flags, which exist even where it is disabled; ours adds to them."""
    named = [getattr(shared.cmd_opts, flag, None) for flag in ("lora_dir", "lyco_dir_backcompat")]
    return [Path(folder) for folder in named if folder]
