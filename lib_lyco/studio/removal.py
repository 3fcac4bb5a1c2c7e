"""The files of a run, to be removed with it: only those that it wrote itself."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lib_lyco.errors import ConfigError
from lib_lyco.studio.history import read_history
from lib_lyco.studio.record import Record
from lib_lyco.studio.states import own_states
from lib_lyco.studio.store import Store
from lib_lyco.train.config import TrainConfig

_NETWORK = ".safetensors"
_BESIDE = (".json", ".png", ".preview.png")
"""Endings of what the page of cards keeps beside a network."""


def remove_run(store: Store, record: Record) -> None:
    """Removes a run and every file that it wrote: networks, states, sample pictures, logs.

    Files that were there before it began, or that another run of the name wrote, stay.

    Raises:
        ConfigError: There is no such run.
    """
    folder = store.place(record.id)
    try:
        config = store.config(record.id)
    except ConfigError:  # damaged: then nobody knows what it wrote
        config = None
    if config and record.started and record.kind == "train":
        for path in written_files(config, folder, record.started):
            with suppress(OSError):
                if path.stat().st_mtime >= record.started - 1.0:
                    path.unlink()
        for path in _logs(config, record.started):
            shutil.rmtree(path, ignore_errors=True)
    store.remove(record.id)


def written_files(config: TrainConfig, folder: Path, started: float) -> Iterator[Path]:
    """Where files of a run may lie that it told of, and those that belong to them."""
    history = read_history(folder)
    for line in history.saved:
        path = Path(str(line["path"]))
        yield from belongings(path.parent, config.name, path.stem)
    yield from (Path(str(line["path"])) for line in history.samples)
    yield from own_states(config, started)


def belongings(folder: Path, name: str, stem: str) -> list[Path]:
    """Where a saved network of a run may lie: the file, its averaged one, and what is beside both.

    Args:
        folder: The output folder.
        name: The run's.
        stem: Of the file: the name, with what says after which epoch or step behind it.
    """
    stems = (stem, f"{name}-ema{stem.removeprefix(name)}")
    return [folder / f"{one}{ending}" for one in stems for ending in (_NETWORK, *_BESIDE)]


def _logs(config: TrainConfig, started: float) -> list[Path]:
    """The training's own folders of logs of this run; see `compose.logging`."""
    root = Path(config.logging_dir) if config.logging_dir else Path(config.output) / "logs"
    prefix = re.escape(config.log_prefix or f"{config.name}-")
    named = re.compile(rf"{prefix}\d{{14}}")
    found = list(root.iterdir()) if root.is_dir() else []
    return [
        path
        for path in found
        if named.fullmatch(path.name)
        and (path / "steps.jsonl").is_file()
        and (path / "steps.jsonl").stat().st_mtime >= started - 1.0
    ]
