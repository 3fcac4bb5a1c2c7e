"""One algorithm of the demo: train, reload, draw the same seeds in every state, measure."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Wanted
from lib_lyco.demo import embedded
from lib_lyco.demo.concepts import CONCEPTS, CONTROL_PROMPT, Concept
from lib_lyco.demo.curve import loss_curve
from lib_lyco.demo.distance import nearest_distances
from lib_lyco.demo.sheet import comparison_sheet
from lib_lyco.errors import TrainingError
from lib_lyco.models.base import BaseModel
from lib_lyco.models.generate import GenerateRequest, generate
from lib_lyco.models.load import load_model
from lib_lyco.network.load import load_network
from lib_lyco.train.compose.data import plan_run
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.config_file import dump_config
from lib_lyco.train.events import Finished, Saved, Step
from lib_lyco.train.run import train

Pixels = NDArray[np.uint8]

STRENGTHS = (0.5, 1.0, 1.5)
LOADING_UNITS, PICTURE_UNITS = 20, 1.0
"""How long loading the model and drawing one picture take, in training steps."""


@dataclass(frozen=True)
class Experiment:
    """What one process of the demo is to do."""

    config: TrainConfig
    """Everything goes into its output folder."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """For each concept; the control prompt takes the first two."""

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return Path(self.config.output)

    @property
    def prompts(self) -> list[tuple[str, int]]:
        """Every prompt and how many pictures of it are drawn."""
        count = len(self.seeds)
        return [*((concept.caption, count) for concept in CONCEPTS), (CONTROL_PROMPT, min(2, count))]

    @property
    def request(self) -> GenerateRequest:
        """The pictures drawn in every state: all prompts, each with the first of the seeds."""
        return GenerateRequest(
            prompts=[prompt for prompt, count in self.prompts for _ in range(count)],
            seeds=[seed for _, count in self.prompts for seed in self.seeds[:count]],
            sampler=embedded.SAMPLER,
            steps=embedded.STEPS,
            guidance=embedded.GUIDANCE,
            size=(embedded.SIZE, embedded.SIZE),
        )


@dataclass(frozen=True)
class Progress:
    """How much of an experiment is done, 0 to 1, and what it is doing."""

    fraction: float
    what: str


@dataclass(frozen=True)
class State:
    """The network in one state, and what its pictures are like."""

    title: str
    distance: float
    """Mean distance of the concepts' pictures to their nearest training pictures."""
    concept_change: float
    """Mean absolute difference from the base model's pictures, of 255, at the concepts' prompts."""
    control_change: float
    """The same at the prompt without a concept."""


@dataclass(frozen=True)
class Outcome:
    """What an experiment found. Its files are `comparison.png`, `loss.svg`, `config.toml`, the networks."""

    algo: str
    network: Path
    file_bytes: int
    layers: str
    """How many layers the reloaded network was applied to, as the session says it."""
    train_seconds: float
    seconds: float
    num_steps: int
    final_loss: float
    """Mean over the last epoch."""
    states: tuple[State, ...]
    """The base model first, then strengths, then epochs."""
    restored: bool
    """Whether, with the network off again, the base model drew the same bytes as before."""
    toml: str
    """Every setting."""

    @property
    def distance_before(self) -> float:
        """Of the base model's pictures."""
        return self.states[0].distance

    @property
    def distance_after(self) -> float:
        """Of the pictures at strength 1."""
        return next(state.distance for state in self.states if state.title == strength_title(1.0))


def strength_title(strength: float) -> str:
    """What a column at a strength is called."""
    return f"strength {strength:g}"


def run_experiment(experiment: Experiment) -> Iterator[Progress | Outcome]:
    """Does it all; the outcome comes last.

    Raises:
        LycoError: Training or drawing failed.
    """
    started = time.perf_counter()
    yield Progress(0.0, "load")
    config = experiment.config
    model = load_model(config.base_model, "cpu", torch.float32)
    meter = _Meter(experiment)
    yield meter.loaded()
    saved, losses, finished = dict[int, Path](), list[float](), None
    for event in train(config, model):
        if isinstance(event, Step):
            losses.append(event.loss)
            yield meter.made_step(event)
        elif isinstance(event, Saved):
            saved[event.epoch] = event.path
        elif isinstance(event, Finished):
            finished = event
    if finished is None or finished.path is None:
        raise TrainingError("The run ended without a network.", where=config.name)
    studio = _Studio(model, experiment)
    columns: list[tuple[str, Pixels]] = []
    for title, column in studio.columns(saved):
        columns.append((title, column))
        yield meter.drew(title)
    restored = bool(np.array_equal(studio.draw(()), columns[0][1]))
    yield meter.drew("base model again")
    _write_files(experiment, columns, losses)
    yield Outcome(
        algo=config.algo,
        network=finished.path,
        file_bytes=finished.path.stat().st_size,
        layers=studio.layers,
        train_seconds=finished.seconds,
        seconds=time.perf_counter() - started,
        num_steps=finished.step,
        final_loss=float(np.mean(losses[-max(1, len(losses) // config.epochs) :])),
        states=_measured(experiment, columns),
        restored=restored,
        toml=dump_config(config),
    )


class _Meter:
    """Turns what happened into the fraction done."""

    def __init__(self, experiment: Experiment) -> None:
        self._done = 0.0
        self._algo = experiment.config.algo
        self._column = PICTURE_UNITS * sum(count for _, count in experiment.prompts)
        num_columns = 2 + len(STRENGTHS) + experiment.config.epochs - 1
        num_steps = plan_run(experiment.config).total_steps
        self._all = LOADING_UNITS + num_steps + num_columns * self._column

    def loaded(self) -> Progress:
        return self._advance(LOADING_UNITS, "train")

    def made_step(self, step: Step) -> Progress:
        return self._advance(1, f"step {step.step}/{step.total}, loss {step.average_loss:.3f}")

    def drew(self, title: str) -> Progress:
        return self._advance(self._column, f"draw: {title}")

    def _advance(self, units: float, what: str) -> Progress:
        self._done += units
        return Progress(min(1.0, self._done / self._all), f"{self._algo}: {what}")


class _Studio:
    """Draws an experiment's pictures with networks on the model."""

    def __init__(self, model: BaseModel, experiment: Experiment) -> None:
        self._model = model
        self._experiment = experiment
        self._session = Session(model.targets())
        self.layers = ""

    def columns(self, saved: Mapping[int, Path]) -> Iterator[tuple[str, Pixels]]:
        """Every state's title and pictures, the base model first."""
        yield "base model", self.draw(())
        last = max(saved)
        trained = load_network(saved[last])
        for strength in STRENGTHS:
            yield strength_title(strength), self.draw([Wanted(trained, strength, strength)])
        for epoch in sorted(set(saved) - {last}):
            yield f"epoch {epoch} of {last}", self.draw([Wanted(load_network(saved[epoch]))])

    def draw(self, wanted: Sequence[Wanted]) -> Pixels:
        """RGB bytes (n, h, w, 3): the pictures of every prompt and seed."""
        with self._session:
            report = self._session.apply(wanted)
            self.layers = self.layers or "; ".join(
                f"{c.applied} of {c.total} {c.component}" for c in report.counts
            )
            return to_bytes(generate(self._model, self._experiment.request))


def to_bytes(images: torch.Tensor) -> Pixels:
    """(b, 3, h, w) in 0..1 -> RGB bytes (b, h, w, 3)."""
    return (images.permute(0, 2, 3, 1).float() * 255).round().clamp(0, 255).byte().cpu().numpy()


def _write_files(
    experiment: Experiment, columns: Sequence[tuple[str, Pixels]], losses: Sequence[float]
) -> None:
    comparison_sheet(columns, experiment.prompts).save(experiment.folder / "comparison.png")
    texts = {
        "loss.svg": loss_curve(losses, f"loss of {experiment.config.algo}"),
        "config.toml": dump_config(experiment.config),
    }
    for name, text in texts.items():
        (experiment.folder / name).write_text(text, encoding="utf-8")


def _measured(experiment: Experiment, columns: Sequence[tuple[str, Pixels]]) -> tuple[State, ...]:
    count = len(experiment.seeds)
    training = [training_pictures(Path(experiment.config.images), concept) for concept in CONCEPTS]
    first_control = count * len(CONCEPTS)
    base = columns[0][1].astype(float)
    states: list[State] = []
    for title, pictures in columns:
        distances = [
            nearest_distances(pictures[count * i : count * (i + 1)], known)
            for i, known in enumerate(training)
        ]
        change = np.abs(pictures - base).mean(axis=(1, 2, 3))
        states.append(
            State(
                title=title,
                distance=float(np.mean(distances)),
                concept_change=float(change[:first_control].mean()),
                control_change=float(change[first_control:].mean()),
            )
        )
    return tuple(states)


def training_pictures(folder: Path, concept: Concept) -> Pixels:
    """A concept's pictures in the training folder, RGB bytes (n, h, w, 3)."""
    paths = sorted(folder.glob(f"{concept.name}/*.png"))
    return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
