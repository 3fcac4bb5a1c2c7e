"""What a finished run leaves of its resume states: how fast it was, and nothing among the networks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lib_lyco.errors import LycoError
from lib_lyco.files.header import read_metadata
from lib_lyco.files.save import save_tensors
from lib_lyco.train.config import TrainConfig

PACE = "pace"
"""Folder below the tab's own data: states without tensors, which say how long a step took."""


def own_states(config: TrainConfig, started: float) -> list[Path]:
    """The resume states that a run wrote, the oldest first.

    Args:
        config: The run's.
        started: When it began, in seconds since 1970: another run of the name wrote what is older.
    """
    name = re.compile(rf"{re.escape(config.name)}-step\d{{8}}\.state")
    return [
        path
        for path in sorted(_files(Path(config.output)))
        if name.fullmatch(path.name) and _is_since(path, started)
    ]


def wants_states(config: TrainConfig) -> bool:
    """Whether the user asked for states; one is kept of every run as long as it goes."""
    return config.save_state or config.save_state_on_train_end or config.keep_states > 1


def clear_states(config: TrainConfig, started: float, paces: Path) -> None:
    """Removes the states of a finished run, which nobody can resume; what they say of its pace is kept."""
    for path in own_states(config, started):
        with suppress(LycoError, OSError):  # without it there is one forecast less
            paces.mkdir(parents=True, exist_ok=True)
            save_tensors(paces / f"{config.name}.state", {}, read_metadata(path))
        with suppress(OSError):  # held by another program
            path.unlink()


def _files(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from folder.iterdir()


def _is_since(path: Path, started: float) -> bool:
    with suppress(OSError):
        return path.stat().st_mtime >= started - 1.0
    return False
