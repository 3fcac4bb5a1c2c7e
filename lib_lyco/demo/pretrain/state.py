"""Resumable state on disk, replaced in one step so that a stop never leaves half a file."""

import os
from pathlib import Path
from typing import Any

import torch


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Writes ``state`` beside ``path``, then puts it in place."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def load_state(path: Path) -> dict[str, Any]:
    """Reads a state written by ``save_state`` (tensors and plain values only)."""
    return torch.load(path, map_location="cpu", weights_only=True)
