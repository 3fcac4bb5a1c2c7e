"""A rehearsal: two real steps on the largest pictures, to know a run's time and memory before it.

The very training is made, in a temporary folder, on copies of as many images of the largest bucket as two
steps need; what only pertains to a whole run (saving, samples, validation, logs, the schedule) is left out.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lib_lyco.studio.live_run import LiveRun
from lib_lyco.studio.workplace import Place
from lib_lyco.train.compose.data import plan_run
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.data.bucket import Size
from lib_lyco.train.data.record import ImageRecord
from lib_lyco.train.events import Event, Recovered, Step
from lib_lyco.train.option import declarations
from lib_lyco.train.plan import Plan
from lib_lyco.train.run import train

_STEPS = 2
_LEFT_OUT = ("logging", "previews", "validation", "saving")
"""Groups of options that have their defaults in a rehearsal."""
_OWN = {
    # options beside those groups that would look for images elsewhere, or need a whole run
    "metadata_file": "",
    "dataset_config": "",
    "samples_per_epoch": None,
    "reg_images": "",
    "extra_resolutions": (),
    "mask_folder": "",
    "masked_prior_weight": 0.0,
    "cache_folder": "",
    "scheduler": "constant",
    "scheduler_rules": "",
    "warmup_steps": 0,
    "warmup_share": 0.0,
    "decay_steps": 0,
    "decay_share": 0.0,
    "unet_stop_share": 0.0,
    "te_stop_share": 0.0,
    **dict.fromkeys(("unet_stop_epochs", "te_stop_epochs", "unet_stop_steps", "te_stop_steps"), 0),
    "max_steps": _STEPS,
}


@dataclass(frozen=True)
class Largest:
    """The bucket with the most pixels, and what a batch of it is."""

    bucket: Size
    resolution: Size
    """Of its dataset."""
    batch_size: int
    records: Sequence[ImageRecord]


def rehearse(config: TrainConfig, place: Place, run: LiveRun) -> dict[str, Any]:
    """Makes two steps, and tells what they took.

    Returns:
        `seconds_per_step`, `peak_bytes` (null without a GPU), `steps` and `seconds` of the whole run,
        `bucket` and `batch_size` of these steps, and `changes` that lack of memory made.

    Raises:
        Exception: As the run would.
    """
    plan = plan_run(config)
    largest = largest_of(plan)
    device = place.model.device
    with tempfile.TemporaryDirectory(prefix="lyco-rehearsal-") as folder:
        small = rehearsal_config(config, largest, Path(folder))
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        seconds, changes = _measured(run, run.driven(train(small, place.model, run.control), place))
    return {
        "seconds_per_step": seconds,
        "peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        "steps": plan.total_steps,
        "seconds": None if seconds is None else seconds * plan.total_steps,
        "bucket": list(largest.bucket),
        "batch_size": largest.batch_size,
        "changes": changes,
    }


def _measured(run: LiveRun, events: Iterator[Event]) -> tuple[float | None, list[str]]:
    """Seconds of the last step, in which nothing is made for the first time, and what was changed."""
    seconds, changes = None, list[str]()
    for event in events:
        if isinstance(event, Step):
            seconds = run.turn_seconds
        elif isinstance(event, Recovered):
            changes.append(event.change)
    return seconds, changes


def largest_of(plan: Plan) -> Largest:
    """The largest bucket of a plan; of equal ones that with the largest batches."""
    sizes = [(pool.batch_size, number) for number, pool in enumerate(plan.order.pools) for _ in pool.images]
    areas = [placement.bucket[0] * placement.bucket[1] for placement in plan.placements]
    chosen = max(range(len(areas)), key=lambda index: (areas[index], sizes[index]))
    bucket, (batch_size, dataset) = plan.placements[chosen].bucket, sizes[chosen]
    records = [
        plan.records[index]
        for index in plan.order.pools[dataset].images
        if plan.placements[index].bucket == bucket
    ]
    return Largest(bucket, plan.datasets[dataset].resolution, batch_size, records)


def rehearsal_config(config: TrainConfig, largest: Largest, folder: Path) -> TrainConfig:
    """The options of the rehearsal; its images are put into the folder.

    Raises:
        OSError: They cannot be copied.
    """
    images = folder / "images"
    images.mkdir()
    needed = largest.batch_size * config.accumulation * _STEPS
    chosen = largest.records[:needed]
    for number, record in enumerate(chosen):
        copy = images / f"{number:04d}_{record.path.name}"
        shutil.copyfile(record.path, copy)
        copy.with_suffix(".txt").write_text(record.caption, encoding="utf-8")
    defaults = {one.name: one.default for one in declarations(TrainConfig) if one.option.group in _LEFT_OUT}
    own = {
        "images": str(images),
        "caption_extension": ".txt",
        "repeats": float(-(-needed // len(chosen))),
        "resolution": largest.resolution,
        "batch_size": largest.batch_size,
        "output": str(folder / "output"),
        "keep_states": 0,
    }
    return config.replaced(**(defaults | {"ema_decay": config.ema_decay} | _OWN | own))
