"""Where this WebUI keeps networks, and the hashes it has computed for them."""

from __future__ import annotations

from pathlib import Path

from modules import hashes, shared


def network_folders() -> list[Path]:
    """The folders of the builtin's flags, which exist even where it is disabled; ours adds to them."""
    named = [getattr(shared.cmd_opts, flag, None) for flag in ("lora_dir", "lyco_dir_backcompat")]
    return [Path(folder) for folder in named if folder]


def known_hash(path: Path) -> str | None:
    """The hash that the host, or its builtin, has computed for a network file before; None otherwise."""
    is_safetensors = path.suffix.lower() == ".safetensors"
    return hashes.sha256_from_cache(str(path), f"lora/{path.stem}", use_addnet_hash=is_safetensors)
