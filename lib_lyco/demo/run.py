"""The demo: one algorithm after the other, each in a process of its own, then one page over all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from lib_lyco.demo import embedded
from lib_lyco.demo.concepts import CONCEPTS, write_training_folder
from lib_lyco.demo.experiment import Experiment, Outcome, Progress, run_experiment
from lib_lyco.demo.isolated import Isolated
from lib_lyco.demo.page import Result, write_page
from lib_lyco.demo.recipe import DEFAULT_ALGOS, Length, demo_config
from lib_lyco.demo.sheet import picture_row


@dataclass(frozen=True)
class Demo:
    """What to try and where to leave it."""

    folder: Path
    algos: tuple[str, ...] = DEFAULT_ALGOS
    length: Length = Length()
    seed: int = 0


@dataclass(frozen=True)
class Advanced:
    """How much of the whole demo is done, 0 to 1, and what it is doing."""

    fraction: float
    what: str


@dataclass(frozen=True)
class PageWritten:
    """The page that shows everything; it is written anew after each algorithm."""

    path: Path


def run_demo(demo: Demo) -> Iterator[Advanced | Result | PageWritten]:
    """Trains, draws and measures with each algorithm; yields progress, results and the page.

    Raises:
        ConfigError: An algorithm is unknown.
        LycoError: One of the runs failed.
        FileNotFoundError: The embedded model or a photograph is not installed.
    """
    checkpoint, folder = embedded.checkpoint(), demo.folder.resolve()
    images = folder / "images"
    experiments = [
        Experiment(demo_config(algo, folder, checkpoint, demo.length, demo.seed)) for algo in demo.algos
    ]
    write_training_folder(images)
    for concept in CONCEPTS:
        pictures = [Image.open(path) for path in sorted(images.glob(f"{concept.name}/*.png"))]
        picture_row(pictures).save(folder / f"{concept.name}.png")
    results: list[Result] = []
    for number, experiment in enumerate(experiments):
        isolated = Isolated(run_on_one_thread, experiment)
        for item in isolated:
            if isinstance(item, Progress):
                yield Advanced((number + item.fraction) / len(experiments), item.what)
            else:
                results.append(Result(item, isolated.peak_bytes))
                yield results[-1]
        yield PageWritten(write_page(folder, results))


def run_on_one_thread(experiment: Experiment) -> Iterator[Progress | Outcome]:
    """The whole of a fresh process. The model is so small that threads would mostly wait for each other:
    idle, a second core gains little; on a busy machine steps take ten times as long."""
    torch.set_num_threads(1)
    yield from run_experiment(experiment)
