"""How long a step takes, by an earlier run: the resume states beside the files that are to be written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lib_lyco.errors import FileError
from lib_lyco.files.header import read_metadata
from lib_lyco.train.forecast.content import TimeForecast

DECISIVE = (
    # what decides how long a step takes; the rest may differ
    "algo",
    "rank",
    "conv_rank",
    "preset",
    "dora",
    "resolution",
    "batch_size",
    "accumulation",
    "precision",
    "fp8_base",
    "te_learning_rate",
    "unet_learning_rate",
)
_MOST = 200
"""States looked at."""


def forecast_time(folder: Path, wanted: Mapping[str, str], total: int) -> TimeForecast:
    """The time of `total` steps, by the newest run on record that trained the same in the same way.

    Args:
        folder: Where states lie.
        wanted: `DECISIVE` options as `identity.run_identity` writes them, the family as `base model`, and
            how many `processes` train together, if it is not 1.
        total: Steps.
    """
    found: list[tuple[float, float, str]] = []
    states = sorted(folder.glob("*.state"))[-_MOST:] if folder.is_dir() else []
    for path in states:
        # a foreign or damaged file is no record
        with suppress(FileError, KeyError, ValueError, TypeError):
            metadata = read_metadata(path)
            identity = json.loads(metadata["identity"])
            step, _, seconds, started_at = json.loads(metadata["progress"])
            if step and _comparable(identity, wanted):
                found.append((started_at, seconds / step, f"{path.name}: {step} steps in {seconds:.0f} s"))
    if not found:
        return TimeForecast(None, None, "")
    _, pace, record = max(found)
    return TimeForecast(pace, pace * total, record)


def _comparable(identity: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    same_family = identity["base model"].split()[0] == wanted["base model"]
    same_number = identity.get("processes", "1") == wanted.get("processes", "1")
    return same_family and same_number and all(identity.get(name) == wanted[name] for name in DECISIVE)
