"""The files of a finished run are compared: each at several strengths, by its loss and by its pictures.

The noise, the timesteps and the images of the loss are always the same, and so are the seeds of the
pictures: what differs from cell to cell is the file and its strength alone.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Wanted
from lib_lyco.errors import LycoError, one_line
from lib_lyco.models.base import BaseModel
from lib_lyco.models.presence import presence_on
from lib_lyco.network.load import load_network
from lib_lyco.network.network import Network
from lib_lyco.studio.verdict import Cell, Row, Verdict
from lib_lyco.train.compose.network import base_networks
from lib_lyco.train.compose.validation import Judging, make_judging
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.data.order import Sample
from lib_lyco.train.prepare import prepared
from lib_lyco.train.preview import Draw
from lib_lyco.train.sample_prompts import Picture, read_prompts, sampler_name
from lib_lyco.train.seed import derived_seed
from lib_lyco.train.world import World

_SEEDS = 2**32
_CAPTIONS = 2
"""Prompts made of captions, where nobody names prompts."""


@dataclass(frozen=True)
class Wish:
    """What is to be compared."""

    config: TrainConfig
    """The run's."""
    files: Sequence[Row]
    strengths: Sequence[float]
    prompts: Path | None
    """A file of sample prompts; None takes captions of the images."""
    folder: Path
    """Where verdict and pictures go."""


@dataclass(frozen=True)
class Judged:
    """How far the comparison is."""

    done: int
    total: int
    what: str
    """A sentence: what is done next."""
    verdict: Verdict | None = None
    """None as long as images are being encoded."""


def judged(wish: Wish, model: BaseModel, draw: Draw | None) -> Generator[Judged]:
    """Compares; keeps the verdict after each cell and yields between any two parts of the work, when no
    network is on the model.

    Raises:
        ConfigError: An option cannot work with this model.
        DataError: Images or prompts cannot be used.
        FileError: The verdict cannot be kept.
    """
    presence = presence_on(model)
    with prepared(model, False, presence), base_networks(wish.config, model, presence):
        judging = make_judging(wish.config, model, World())
        for done, total in judging.validation.prepare():
            yield Judged(done, total, f"Encoding images: {done} of {total}.")
        yield from _Comparison(wish, judging, draw).made()


class _Comparison:
    def __init__(self, wish: Wish, judging: Judging, draw: Draw | None) -> None:
        self._wish = wish
        self._judging = judging
        self._draw = draw
        self._images = judging.validation.images
        self._pictures = _pictures(wish, judging)
        self._verdict = Verdict(
            held_out=judging.held_out,
            images=judging.count,
            prompts=[picture.prompt for picture in self._pictures],
            strengths=list(wish.strengths),
        )

    def made(self) -> Iterator[Judged]:
        verdict, folder = self._verdict, self._wish.folder
        folder.mkdir(parents=True, exist_ok=True)
        rows = [Row(), *(replace(row, cells=[]) for row in self._wish.files)]
        per_cell = 1 + (len(self._pictures) if self._draw else 0)
        total = per_cell * (1 + len(self._wish.files) * len(self._wish.strengths))
        done = 0
        for row in rows:
            verdict.rows.append(row)
            for strength in self._wish.strengths if row.name else (0.0,):
                for what in self._cell(row, strength):
                    verdict.write(folder)
                    yield Judged(min(done, total), total, what, verdict)
                    done += 1
        verdict.write(folder)
        yield Judged(total, total, "All files are compared.", verdict)

    def _cell(self, row: Row, strength: float) -> Iterator[str]:
        """Fills a cell; yields before each part of it."""
        cell = Cell(strength)
        row.cells.append(cell)
        title = f"{row.name} at {strength:g}" if row.name else "The base model alone"
        yield f"{title}: the loss."
        try:
            network = load_network(Path(row.path)) if row.name else None
            cell.loss = self._loss(network, strength)
        except LycoError as error:
            self._verdict.problems.append(f"{title}: {one_line(error)}")
            return
        for index, picture in enumerate(self._pictures if self._draw else ()):
            yield f"{title}: picture {index + 1} of {len(self._pictures)}."
            cell.pictures.append(self._drawn(row, replace(picture, strength=strength), index))

    def _loss(self, network: Network | None, strength: float) -> float:
        with Session(self._images.model.targets()) as session:
            session.apply([Wanted(network, te=strength, unet=strength)] if network else [])
            return self._judging.validation.loss(self._images, World())

    def _drawn(self, row: Row, picture: Picture, index: int) -> str:
        """Draws one picture; what cannot be drawn is told and ends nothing."""
        assert self._draw
        name = f"{Path(row.name).stem or 'base'}_{picture.strength:g}_{index:02d}.png"
        network = Path(row.path) if row.name else None
        try:
            with self._images.precision.context():
                self._draw(self._images.model, picture, network, self._wish.folder / name)
        except (LycoError, OSError, RuntimeError) as error:  # RuntimeError: out of memory is one
            told = one_line(error) if isinstance(error, LycoError) else str(error)
            self._verdict.problems.append(f"{name}: {told}")
            return ""
        return name


def _pictures(wish: Wish, judging: Judging) -> list[Picture]:
    """What is drawn with each file; every picture with a seed, the same for all files."""
    config = wish.config
    default = Picture(
        prompt="",
        size=config.resolution,
        sampler=sampler_name(config.sample_sampler),
        clip_skip=config.clip_skip,
    )
    if wish.prompts:
        pictures = read_prompts(wish.prompts, default)
    else:
        images = judging.validation.images
        samples = [Sample(index, 0, 0) for index in range(len(images.plan.records))]
        captions = list(dict.fromkeys(images.variations.caption(sample, 0).first for sample in samples))
        pictures = [replace(default, prompt=caption) for caption in captions[:_CAPTIONS]]
    return [
        replace(picture, seed=derived_seed("best", config.seed, index) % _SEEDS)
        if picture.seed is None
        else picture
        for index, picture in enumerate(pictures)
    ]
