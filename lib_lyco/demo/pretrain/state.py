"""Resumable state on disk, replaced in one step so that a stop never leaves half a file; its optimiser."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Writes ``state`` beside ``path``, then puts it in place."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def load_state(path: Path) -> dict[str, Any]:
    """Reads a state written by ``save_state`` (tensors and plain values only)."""
    return torch.load(path, map_location="cpu", weights_only=True)


def adamw(parameters: Iterable[nn.Parameter], rate: float, decay: float) -> torch.optim.AdamW:
    """AdamW with a short memory of squares; fused where this torch can do that on a CPU (2.4 on)."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    return torch.optim.AdamW(
        parameters, rate, (0.9, 0.99), weight_decay=decay, fused=True if version >= (2, 4) else None
    )
