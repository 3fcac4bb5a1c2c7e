"""What a run would be, in one sentence that is true whatever is known of it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lib_lyco.models.base import Hollow
from lib_lyco.studio.file_size import file_size
from lib_lyco.studio.workplace import Base
from lib_lyco.train.compose.data import plan_run
from lib_lyco.train.compose.forecast import forecast_on, make_forecast
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.forecast.content import DataForecast, Forecast, Remark
from lib_lyco.train.forecast.data import forecast_data
from lib_lyco.train.forecast.pace import DECISIVE, forecast_time
from lib_lyco.train.forecast.remarks import Remarks
from lib_lyco.train.precision import DTYPES, choose_precision

_LIBRARY_SHARE = 1.5
"""What libraries need for themselves comes to the memory that is counted: half as much again."""


@dataclass(frozen=True)
class Outlook:
    """A run before it runs; None is what cannot be told."""

    data: DataForecast | None
    seconds: float | None
    memory: int | None
    """Bytes at the peak of a step."""
    file: int | None
    """Bytes of the file."""
    remarks: Sequence[Remark]
    per_step: int
    """Showings of images in a step that is full."""

    @property
    def parts(self) -> list[str]:
        """The sentence, what its commas part."""
        if self.data is None:
            return []
        told = [_sum(self.data, self.per_step)]
        if self.seconds is not None:
            told.append(f"about {duration(self.seconds)}")
        if self.memory is not None:
            told.append(f"about {size(self.memory)} of memory")
        if self.file is not None:
            told.append(f"file {size(self.file)}")
        return told


def look_ahead(
    config: TrainConfig, base: Base | None, device: torch.device, paces: Path | None = None
) -> Outlook:
    """What a run of this config would be. Nothing is written, no weights are read.

    Args:
        config: What to do.
        base: Its base model, as offered.
        device: Where it would be.
        paces: Where finished runs are on record; see `studio.states`.
    """
    path = base.path if base else None
    hollow = _hollow(config, base, device)
    if hollow:
        told = _outlook(config, forecast_on(config, lambda _: hollow, device))
    elif path and path.exists() and importlib.util.find_spec("diffusers") is not None:
        told = _outlook(config, make_forecast(config, path, device))
    else:
        told = _by_plan(config, path)
    if told.data is None or told.seconds is not None:
        return told
    folders = (Path(config.output), *([paces] if paces else []))
    found = (_seconds(config, base, device, told.data.total_steps, folder) for folder in folders)
    return replace(told, seconds=next((one for one in found if one is not None), None))


def _by_plan(config: TrainConfig, path: Path | None) -> Outlook:
    """What is known without the base model's layout."""
    remarks, per_step = Remarks(), config.batch_size * config.accumulation
    plan = remarks.tried("images", lambda: plan_run(config))
    if plan is None:
        return Outlook(None, None, None, _file(remarks, config, path), remarks.found, per_step)
    remarks.of_plan(plan, config.allow_untagged)
    file = _file(remarks, config, path)
    return Outlook(forecast_data(plan), None, None, file, remarks.found, per_step)


def _seconds(
    config: TrainConfig, base: Base | None, device: torch.device, steps: int, folder: Path
) -> float | None:
    """How long it takes by an earlier run, whose state has the precision that was used."""
    if base is None or base.family is None:
        return None
    settled = config.replaced(precision=choose_precision(config.precision, device))
    wanted = {name: json.dumps(getattr(settled, name)) for name in DECISIVE}
    return forecast_time(folder, {**wanted, "base model": base.family}, steps).seconds


def _file(remarks: Remarks, config: TrainConfig, base: Path | None) -> int | None:
    return remarks.tried("base_model", lambda: file_size(config, base)) if base and base.exists() else None


def _hollow(config: TrainConfig, base: Base | None, device: torch.device) -> Hollow | None:
    """The base model without weights, where somebody has it loaded."""
    if base is None or base.hollow is None:
        return None
    return base.hollow(DTYPES[choose_precision(config.precision, device)])


def _outlook(config: TrainConfig, told: Forecast) -> Outlook:
    return Outlook(
        data=told.data,
        seconds=told.time.seconds if told.time else None,
        memory=round(_LIBRARY_SHARE * told.memory.total) if told.memory else None,
        file=told.network.file.tensors + told.network.file.index if told.network else None,
        remarks=told.remarks,
        per_step=config.batch_size * config.accumulation,
    )


def _sum(data: DataForecast, per_step: int) -> str:
    """24 images x 10 x 8 epochs / 2 = 960 steps, where that is the whole truth; else by batches."""
    images, steps = len(data.images), data.total_steps
    noun = "image" if images == 1 else "images"
    epochs = f"{data.epochs} epoch" if data.epochs == 1 else f"{data.epochs} epochs"
    repeats = {one.repeats for one in data.images}
    samples = sum(one.repeats for one in data.images)
    if len(repeats) == 1 and samples * data.epochs == steps * per_step:
        divided = f" / {per_step}" if per_step > 1 else ""
        return f"{images} {noun} x {min(repeats):g} x {epochs}{divided} = {steps} steps"
    made = "image makes" if images == 1 else "images make"
    if data.steps_per_epoch * data.epochs == steps:
        return f"{images} {made} {data.steps_per_epoch} steps per epoch x {epochs} = {steps} steps"
    return f"{images} {made} {data.steps_per_epoch} steps per epoch, {steps} steps in {epochs}"


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def size(count: int) -> str:
    """Bytes in the units that file managers show."""
    for unit, one in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if count >= one:
            return f"{count / one:.1f} {unit}" if count < 10 * one else f"{count / one:.0f} {unit}"
    return f"{count} B"
