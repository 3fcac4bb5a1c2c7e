"""`lyco plan`: everything about a training before it, without the base model's weights."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path

from lib_lyco.demo.embedded import checkpoint
from lib_lyco.entry.device import add_device_flag, pick_device
from lib_lyco.entry.terminal import say, table
from lib_lyco.entry.training_input import add_training_input, read_training_input
from lib_lyco.errors import ConfigError
from lib_lyco.train.compose.forecast import make_forecast
from lib_lyco.train.forecast.content import (
    DataForecast,
    Forecast,
    GroupLine,
    ImageLine,
    MemoryForecast,
    NetworkForecast,
    TimeForecast,
)

_SHOWN_IMAGES = 20
_CAPTION_WIDTH = 40
_BARS = " ▁▂▃▄▅▆▇█"
_SOURCES = {
    "file": "a file beside the image",
    "metadata": "the metadata file",
    "folder": "the folder's name or class tokens",
    "none": "nothing",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the config file, one flag per training option, and how it is told."""
    add_training_input(parser)
    parser.add_argument("--json", action="store_true", help="tell as JSON")
    parser.add_argument(
        "--all-images", action="store_true", help=f"list every image, not only the first {_SHOWN_IMAGES}"
    )
    parser.add_argument(
        "--processes", type=_whole, default=1, help="how many processes a launcher would start for it"
    )
    add_device_flag(parser)


def run(arguments: argparse.Namespace) -> None:
    """Tells what a training would be.

    Raises:
        ConfigError: It could not start.
    """
    config = read_training_input(arguments)
    model = Path(config.base_model) if config.base_model else checkpoint()
    forecast = make_forecast(config, model, pick_device(arguments.device), arguments.processes)
    if arguments.json:
        say(json.dumps({**asdict(forecast), "possible": forecast.possible}, indent=1))
    else:
        say(describe(forecast, None if arguments.all_images else _SHOWN_IMAGES))
    if not forecast.possible:
        raise ConfigError(
            "The training cannot start.",
            where=", ".join(one.option for one in forecast.remarks if one.severity == "error"),
            remedy="Mend what is told above as an error.",
        )


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def describe(forecast: Forecast, num_images: int | None = None) -> str:
    """A forecast as text; `num_images` limits the list of images."""
    parts: list[str] = []
    if forecast.data:
        parts += _data(forecast.data, num_images)
    if forecast.network:
        parts += _network(forecast.network)
    if forecast.memory:
        parts.append(_memory(forecast.memory))
    if forecast.time:
        parts.append(_time(forecast.time))
    remarks = sorted(forecast.remarks, key=lambda one: one.severity)
    parts.append("\n".join(f"{one.severity}: {one.option}: {one.text}" for one in remarks))
    return "\n\n".join(part for part in parts if part)


def _data(data: DataForecast, num_images: int | None) -> Iterator[str]:
    sources = Counter(image.caption_source for image in data.images)
    captions = "\n".join(f"captions from {_SOURCES[source]}: {count}" for source, count in sources.items())
    folders = _folders(data)
    shown = data.images[:num_images]
    rows = [
        [
            "/".join(Path(image.path).parts[-2 if len(folders) > 1 else -1 :]),
            f"{image.repeats:g}{' reg' if image.regularisation else ''}",
            _size(image.size),
            _size(image.bucket),
            _size(image.crop),
            image.caption_source,
            _shortened(image.caption),
        ]
        for image in shown
    ]
    images = table(["image", "shown", "size", "bucket", "cut off", "caption", "text"], rows)
    rest = len(data.images) - len(shown)
    yield table(["folder", "images", "times each", "samples", "captions"], folders)
    yield captions
    yield images + (f"\n... and {rest} more; --all-images lists them" if rest else "")
    yield table(
        ["bucket", "images", "samples", "batches", "smallest batch"],
        [
            [
                _size(one.size),
                *map(str, (one.images, one.samples, one.batches, one.smallest_batch)),
            ]
            for one in data.buckets
        ],
    )
    yield data.sum


def _folders(data: DataForecast) -> list[list[str]]:
    """A line for each folder: how many samples its images make in an epoch, and where captions are from."""
    folders: dict[tuple[int, str, bool], list[ImageLine]] = {}
    for image in data.images:
        place = (image.dataset, str(Path(image.path).parent), image.regularisation)
        folders.setdefault(place, []).append(image)
    several = len({dataset for dataset, _, _ in folders}) > 1
    rows: list[list[str]] = []
    for (dataset, folder, is_reg), images in folders.items():
        times = [image.repeats for image in images]
        sources = Counter(image.caption_source for image in images)
        name = Path(folder).name + (" (reg)" if is_reg else "")
        rows.append(
            [
                f"{dataset}: {name}" if several else name,
                f"{len(images)}",
                f"{min(times):g}" if min(times) == max(times) else f"{min(times):g} to {max(times):g}",
                f"{sum(times):g}",
                ", ".join(f"{count} {source}" for source, count in sources.items()),
            ]
        )
    return rows


def _network(network: NetworkForecast) -> Iterator[str]:
    rows = [
        [f"{one.component} {one.block}", f"{one.adapters}", f"{one.parameters:,}", _bytes(one.bytes)]
        for one in network.blocks
    ]
    adapters, parameters = (
        sum(one.adapters for one in network.blocks),
        sum(one.parameters for one in network.blocks),
    )
    rows.append(["all", f"{adapters}", f"{parameters:,}", _bytes(network.file.tensors)])
    yield f"base model {network.base} ({network.family}), computed in {network.precision}"
    yield table(["block", "adapters", "parameters", "in the file"], rows)
    yield f"file: {_bytes(network.file.tensors + network.file.index)} and its metadata"
    yield (
        "learning rates"
        + (" (multiples of the step size that the optimiser finds)" if network.steps_by_itself else "")
        + "".join(f"\n{_group(group)}" for group in network.groups)
    )


def _group(group: GroupLine) -> str:
    rates = [rate for _, rate in group.curve]
    frozen = f", frozen from step {group.until}" if group.until is not None else ""
    return (
        f"  {group.name:<8} {_sparkline(rates)}  {_rate(rates[0])} first, {_rate(max(rates))} highest, "
        f"{_rate(rates[-1])} last{frozen}; {group.parameters:,} parameters"
    )


def _rate(rate: float) -> str:
    """Three digits of it, without an exponent where that can be read: 5e-5 is 0.00005."""
    return f"{Decimal(f'{rate:.3g}'):f}" if rate >= 1e-6 else f"{rate:.3g}"


def _sparkline(values: Sequence[float]) -> str:
    highest = max(values) or 1.0
    return "".join(_BARS[round(value / highest * (len(_BARS) - 1))] for value in values)


def _memory(memory: MemoryForecast) -> str:
    optimiser = "unknown" if memory.optimiser is None else _bytes(memory.optimiser)
    return (
        f"memory at the peak of a step: about {_bytes(memory.total)}\n"
        f"  base model {_bytes(memory.weights)}, adapters with gradients {_bytes(memory.adapters)}, "
        f"optimiser {optimiser}, activations {_bytes(memory.activations)} ({memory.batch})\n"
        "  What libraries need for themselves comes to it: allow for half as much again."
    )


def _time(time: TimeForecast) -> str:
    if time.seconds is None or time.seconds_per_step is None:
        return "time: unknown until the first steps; there is no comparable run in the output folder"
    minutes, hours = round(time.seconds / 60), time.seconds / 3600
    told = (
        f"{hours:.1f} hours"
        if hours > 2
        else f"{minutes} minutes"
        if minutes > 2
        else f"{time.seconds:.0f} s"
    )
    return (
        f"time: about {told}, {time.seconds_per_step:.3g} s per step as in an earlier run ({time.record})"
    )


def _bytes(count: int) -> str:
    """In the units that file managers show."""
    for unit, size in (("GB", 2**30), ("MB", 2**20), ("KB", 2**10)):
        if count >= size:
            return f"{count / size:.3g} {unit}" if count < 1000 * size else f"{count / size:.0f} {unit}"
    return f"{count} B"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _CAPTION_WIDTH else line[: _CAPTION_WIDTH - 3] + "..."
