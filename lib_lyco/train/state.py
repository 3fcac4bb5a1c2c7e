"""Resume states: everything a run needs to go on as if it had never ended.

A run draws nothing from a running generator (see `seed`), and its order and learning rates are
functions of the step; so a state is the network's tensors, the optimiser's, and how far it is.
It is one file of the safetensors format, put in its place whole, with a name that no folder of
networks lists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lib_lyco.errors import ConfigError, FileError
from lib_lyco.files.header import read_metadata
from lib_lyco.files.save import save_tensors
from lib_lyco.files.tensors import read_content
from lib_lyco.train.identity import demand_same
from lib_lyco.train.recovery import Change
from lib_lyco.train.tree import flattened, rebuilt

AUTO = "auto"
_EXTENSION = ".state"
_FORMAT = "lyco_resume_state"
_VERSION = "1"
_NETWORK, _OPTIMISATION, _AVERAGE = "network/", "optimisation/", "average/"


@dataclass(frozen=True)
class State:
    """A run after a whole number of steps."""

    step: int
    losses: tuple[float, ...]
    """Of the last steps, for the average shown."""
    seconds: float
    """Trained so far."""
    started_at: float
    """When the run was first started, seconds since 1970."""
    network: Mapping[str, Tensor]
    optimisation: Any
    """A tree of plain values and tensors."""
    average: Mapping[str, Tensor]
    """The moving average of the weights; empty without one."""
    changes: tuple[Change, ...]
    """What the run does otherwise than its config says."""


@dataclass(frozen=True)
class StateStore:
    """The states of a run in a folder."""

    folder: Path
    name: str
    """The run's name; only files of this name are seen, and removed."""
    keep: int
    """How many are kept, newest first; 0 writes none."""
    identity: Mapping[str, str]
    keep_all: bool = False
    """Whether none is removed but by `remove`."""
    at_end: bool = False
    """Whether one is written at the end in any case."""

    def save(self, state: State, end: bool = False) -> None:
        """Writes a state if any are kept, then removes those that are too many.

        Raises:
            FileError: The state cannot be written; the older ones are untouched.
        """
        if not (self.keep or self.keep_all or (end and self.at_end)):
            return
        known = _numbered(self.folder, self.name)
        tree, tensors = flattened(state.optimisation, _OPTIMISATION)
        tensors |= {f"{_NETWORK}{key}": tensor for key, tensor in state.network.items()}
        tensors |= {f"{_AVERAGE}{key}": tensor for key, tensor in state.average.items()}
        path = self._path(state.step)
        progress = (state.step, state.losses, state.seconds, state.started_at)
        metadata = {
            _FORMAT: _VERSION,
            "number": str(1 + max(known.values(), default=0)),
            "identity": json.dumps(dict(self.identity)),
            "progress": json.dumps(progress),
            "optimisation": tree,
            "changes": json.dumps([(one.option, one.value, one.step) for one in state.changes]),
        }
        save_tensors(path, {key: tensor.cpu().contiguous() for key, tensor in tensors.items()}, metadata)
        older = sorted((one for one in known if one != path), key=lambda one: known[one], reverse=True)
        for surplus in [] if self.keep_all else older[max(0, self.keep - 1) :]:
            with suppress(OSError):  # held by another program: one file too many does no harm
                surplus.unlink()

    def remove(self, step: int) -> None:
        """Removes the state of a step, if it is there and can be removed."""
        with suppress(OSError):
            self._path(step).unlink(missing_ok=True)

    def newest_since(self, first: State) -> State:
        """The state that a run wrote last; the one it began with if it has written none, or it is gone."""
        newest = None
        with suppress(ConfigError, FileError):  # of another run of this name, or damaged
            newest = self.find(AUTO)
        if newest is None or newest.started_at != first.started_at or newest.step < first.step:
            return deepcopy(first)  # an optimiser goes on in the very tensors it is given
        return newest

    def _path(self, step: int) -> Path:
        return self.folder / f"{self.name}-step{step:08d}{_EXTENSION}"

    def find(self, resume: str) -> State | None:
        """The state that `resume` names: a file, the newest in a folder, or `auto`.

        Returns:
            None if `resume` is empty, or is `auto` and there is no state yet.

        Raises:
            ConfigError: There is no such state, or it is one of another run.
            FileError: The file cannot be read or is damaged.
        """
        if not resume:
            return None
        place = self.folder if resume == AUTO else Path(resume)
        if place.is_file():
            return self._read(place)
        known = _numbered(place, self.name)
        if known:
            return self._read(max(known, key=lambda one: known[one]))
        if resume == AUTO:
            return None
        raise ConfigError(
            "There is no state to go on from.",
            where="resume",
            got=str(place),
            expected=f"a file {self.name}-step...{_EXTENSION}, or a folder with one",
        )

    def _read(self, path: Path) -> State:
        content = read_content(path)
        metadata, tensors = content.metadata, content.tensors
        if metadata.get(_FORMAT) != _VERSION:
            raise ConfigError("This is no state of a run.", where=f"resume: {path}")
        demand_same(json.loads(metadata["identity"]), self.identity, str(path))
        step, losses, seconds, started_at = json.loads(metadata["progress"])
        return State(
            step=step,
            losses=tuple(losses),
            seconds=seconds,
            started_at=started_at,
            network=_below(_NETWORK, tensors),
            optimisation=rebuilt(metadata["optimisation"], tensors),
            average=_below(_AVERAGE, tensors),
            changes=tuple(Change(*one) for one in json.loads(metadata.get("changes", "[]"))),
        )

    def remove_leftovers(self) -> None:
        """Removes what a killed run of this name was just writing: hidden files that nobody reads."""
        name = re.escape(self.name)
        leftover = re.compile(
            rf"\.{{1,2}}{name}(-ema)?(-\d{{6}}|-step\d{{8}})?(-\d+)?(\.unchecked)?\.(safetensors|state)(\.[0-9a-f]{{8}}\.tmp)?"
        )
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if leftover.fullmatch(path.name):
                    with suppress(OSError):
                        path.unlink()


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key[len(prefix) :]: tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _numbered(folder: Path, name: str) -> dict[Path, int]:
    """The states of a name in a folder, and in which order they were written."""
    pattern = re.compile(rf"{re.escape(name)}-step\d{{8}}{re.escape(_EXTENSION)}")
    found: dict[Path, int] = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        if pattern.fullmatch(path.name):
            with suppress(FileError, KeyError, ValueError):  # a foreign file of this name is no state
                found[path] = int(read_metadata(path)["number"])
    return found
