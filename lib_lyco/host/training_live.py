"""Networks in training in prompts: `<lora:@run>` as it is now, `<lora:@run@300>` as it was saved then."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lib_lyco.errors import LycoError, NetworkNotFoundError
from lib_lyco.files.header import read_metadata
from lib_lyco.models.presence import Presence
from lib_lyco.network.load import load_network
from lib_lyco.network.network import Network
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.writer import Present

SIGN = "@"
_NAME = re.compile(r"@run(?:@(\d+))?")
_STEPS = "ss_steps"


@dataclass(frozen=True)
class Trainee:
    """The run that takes place."""

    presence: Presence
    """What it has put on the host's model."""
    config: TrainConfig


class RunNetworks:
    """The networks of the run that takes place, or of the last one.

    Called by whoever holds the host's lock: the run is between two steps then.

    Args:
        trainee: The run that takes place.
        last: The options of the last run, if there is one.
    """

    def __init__(
        self, trainee: Callable[[], Trainee | None], last: Callable[[], TrainConfig | None]
    ) -> None:
        self._trainee = trainee
        self._last = last

    def load(self, name: str) -> Network:
        """The network of `@run` or `@run@300`.

        Raises:
            NetworkNotFoundError: There is no such run, or nothing was saved at that step.
            LycoError: It cannot be read.
        """
        match = _NAME.fullmatch(name.strip())
        trainee = self._trainee()
        config = trainee.config if trainee else self._last()
        if match is None or config is None:
            raise NetworkNotFoundError(
                "No run has this name",
                where=name,
                expected="@run, or @run@ and the step of a file that the run has saved",
            )
        if match[1]:
            return load_network(_saved_at(config, int(match[1])))
        if trainee is not None:
            return _present(trainee)
        return load_network(_newest(config))


def _present(trainee: Trainee) -> Network:
    """The network as a file of now would hold it: with averaged weights, if those are saved."""
    found = trainee.presence.find(Present)
    if found is None:
        raise NetworkNotFoundError("The run has trained nothing yet", where="@run")
    with tempfile.TemporaryDirectory(prefix="lyco-run-") as folder:
        path = Path(folder) / f"{trainee.config.name}.safetensors"
        found.write(path)
        return load_network(path)


def _saved(config: TrainConfig) -> list[tuple[int, Path]]:
    """Step and place of each file that a run has saved."""
    found: list[tuple[int, Path]] = []
    pattern = re.compile(rf"{re.escape(config.name)}(-\d{{6}}|-step\d{{8}})?\.safetensors")
    for path in Path(config.output).glob("*.safetensors"):
        if pattern.fullmatch(path.name):
            try:
                found.append((int(read_metadata(path).get(_STEPS, 0)), path))
            except (LycoError, ValueError):
                continue  # being written, or not the run's
    return sorted(found)


def _saved_at(config: TrainConfig, step: int) -> Path:
    found = _saved(config)
    for at, path in found:
        if at == step:
            return path
    steps = ", ".join(str(at) for at in dict.fromkeys(at for at, _ in found)) or "none"
    raise NetworkNotFoundError(
        "The run has no file of this step", where=f"@run@{step}", expected=f"one of: {steps}"
    )


def _newest(config: TrainConfig) -> Path:
    found = _saved(config)
    if not found:
        raise NetworkNotFoundError("The last run's file is not there any more", where="@run")
    return found[-1][1]
