"""One file of a run becomes its network, the others are removed: only what the run itself wrote."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lib_lyco.errors import ConfigError, FileError
from lib_lyco.files.header import read_metadata
from lib_lyco.studio.afterwards import Beside, description, trigger_words, write_beside
from lib_lyco.studio.history import History
from lib_lyco.studio.removal import belongings
from lib_lyco.studio.verdict import Row, Verdict, own_files, stamp_of
from lib_lyco.train.config import TrainConfig


@dataclass(frozen=True)
class Chosen:
    """What is to be kept."""

    name: str
    """The file's."""
    strength: float
    """It becomes the preferred weight."""
    cover: Path | None


@dataclass(frozen=True)
class Outcome:
    """What became of the files."""

    path: Path
    """The run's network now."""
    removed: Sequence[str]
    problems: Sequence[str]
    """Files that could not be removed."""


def going(config: TrainConfig, files: Sequence[Row], name: str) -> list[Path]:
    """What is removed where one of a run's files is kept: the others, and what is beside them.

    Args:
        config: The run's.
        files: Its files.
        name: The one that is kept.
    """
    output = Path(config.output).resolve()
    stays = set(belongings(output, config.name, Path(name).stem))
    stays |= set(belongings(output, config.name, config.name)) - {output / f"{config.name}.safetensors"}
    found = (path for one in files for path in belongings(output, config.name, Path(one.name).stem))
    return [path for path in found if path not in stays and path.is_file()]


def keep_one(
    config: TrainConfig, history: History, verdict: Verdict, chosen: Chosen, states: Sequence[Path] = ()
) -> Outcome:
    """Gives the chosen file the run's name, writes what belongs beside it, removes the run's other files.

    Args:
        config: The run's.
        history: What the run told: no other files are touched.
        verdict: What was compared.
        chosen: What to keep.
        states: Resume states of the run, where they are to be removed, too.

    Raises:
        ConfigError: The file was not compared.
        FileError: The file has changed since, or cannot be put in its place; nothing is removed then.
    """
    row = next((row for row in verdict.rows if row.name and row.name == chosen.name), None)
    files = own_files(history, Path(config.output))
    own = {one.name: Path(one.path) for one in files}
    if row is None or row.name not in own:
        raise ConfigError("There is no such file of this run", where="file", got=repr(chosen.name)[:80])
    _demand_unchanged(row)
    path = Path(config.output).resolve() / f"{config.name}.safetensors"
    if path.exists() and path.name not in own:
        raise FileError(
            "Another file has the run's name",
            where=str(path),
            expected="a name that is free",
            remedy="Move it away.",
        )
    others = [one for one in going(config, files, row.name) if one != path]
    replaced = [path.name] if path.name in own and path.name != row.name else []
    stem, name = Path(row.name).stem, config.name
    for old, new in zip(
        belongings(path.parent, name, stem), belongings(path.parent, name, name), strict=True
    ):
        if old.is_file():
            _put(old, new)
    words = trigger_words(config, read_metadata(path))
    told = description(config, _up_to(history, row.step))
    write_beside(path, Beside(words, chosen.strength, told, chosen.cover))
    removed, problems = _removed([*others, *states])
    return Outcome(path, [*replaced, *removed], problems)


def _demand_unchanged(row: Row) -> None:
    if stamp_of(Path(row.path)) != row.stamp:
        raise FileError(
            "The file is not the one that was compared any more",
            where=row.path,
            remedy="Compare the files again.",
        )


def _put(file: Path, path: Path) -> None:
    try:
        if file.resolve() != path:
            os.replace(file, path)
    except OSError as error:
        raise FileError(
            "The file cannot be given the run's name",
            where=str(path),
            got=str(error),
            remedy="Close programs that hold it, then choose again.",
        ) from error


def _up_to(history: History, step: int) -> History:
    return replace(history, saved=[line for line in history.saved if int(line["step"]) <= step])


def _removed(paths: Sequence[Path]) -> tuple[list[str], list[str]]:
    removed: list[str] = []
    problems: list[str] = []
    for path in paths:
        try:
            path.unlink()
            removed.append(path.name)
        except OSError as error:
            problems.append(f"{path.name} cannot be removed: {error}")
    return removed, problems
