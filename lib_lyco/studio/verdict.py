"""What is known of the files of a run: losses and pictures at several strengths, kept with the run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lib_lyco.errors import FileError
from lib_lyco.files.replacing import replace_file
from lib_lyco.studio.history import History

FOLDER = "best"
"""Below a run's folder."""
_FILE = "best.json"


@dataclass
class Cell:
    """A file at one strength."""

    strength: float
    loss: float | None = None
    """On the images held out, at fixed noise and timesteps."""
    pictures: list[str] = field(default_factory=list[str])
    """A file name for each prompt; "" where it was not drawn."""


@dataclass
class Row:
    """One file; or the base model alone, which has no name."""

    name: str = ""
    path: str = ""
    step: int = 0
    epoch: int = 0
    stamp: list[int] = field(default_factory=list[int])
    """Time of change in nanoseconds and size in bytes: another file of that name is not the one judged."""
    cells: list[Cell] = field(default_factory=list[Cell])


@dataclass
class Verdict:
    """All of it."""

    held_out: bool
    """Whether the images were not trained on; else they are a share of the training images."""
    images: int
    prompts: list[str]
    strengths: list[float]
    rows: list[Row] = field(default_factory=list[Row])
    problems: list[str] = field(default_factory=list[str])
    """What could not be drawn or read."""
    kept: str = ""
    """The file that was chosen, if one was."""

    @property
    def best(self) -> tuple[str, float] | None:
        """The file and the strength with the lowest loss."""
        losses = [
            (cell.loss, row.name, cell.strength)
            for row in self.rows
            for cell in row.cells
            if row.name and cell.loss is not None
        ]
        return min(losses)[1:] if losses else None

    def write(self, folder: Path) -> None:
        """Keeps it.

        Raises:
            FileError: It cannot be written.
        """
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1)
        replace_file(folder / _FILE, text.encode("utf-8", "replace"))


def read_verdict(folder: Path) -> Verdict | None:
    """What is kept in a folder; None if there is nothing, or if it is damaged."""
    try:
        values: Any = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        for row in values["rows"]:
            row["cells"] = [Cell(**cell) for cell in row["cells"]]
        values["rows"] = [Row(**row) for row in values["rows"]]
        return Verdict(**values)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def stamp_of(path: Path) -> list[int]:
    """Time of change and size of a file.

    Raises:
        FileError: It is not there.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise FileError("The file is not there any more", where=str(path), got=str(error)) from error
    return [facts.st_mtime_ns, facts.st_size]


def own_files(history: History, output: Path) -> list[Row]:
    """The network files that a run wrote into its output folder, as far as they are there; by step.

    Args:
        history: What the run told.
        output: Its output folder.
    """
    told = {Path(str(line["path"])): line for line in history.saved}
    return _present(told.items(), output.resolve())


def _present(told: Iterable[tuple[Path, dict[str, Any]]], output: Path) -> list[Row]:
    rows = [
        Row(path.name, str(path), int(line["step"]), int(line["epoch"]), stamp_of(path))
        for path, line in told
        if path.suffix == ".safetensors" and path.resolve() == output / path.name and path.is_file()
    ]
    return sorted(rows, key=lambda row: (row.step, row.name))
