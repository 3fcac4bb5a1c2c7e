"""Pictures of sample prompts while a run goes: from the content of the file that would be saved.

The trained layers are off the model meanwhile; the file is applied and drawn with by whoever calls the
training, as it would be for a user: the WebUI with its own sampler, the command line with diffusers'.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from lib_lyco.errors import LycoError
from lib_lyco.models.base import BaseModel
from lib_lyco.train.events import NotSampled, Sampled
from lib_lyco.train.prepare import alone
from lib_lyco.train.sample_prompts import Picture, read_prompts
from lib_lyco.train.save_rules import Every
from lib_lyco.train.seed import derived_seed
from lib_lyco.train.step import Learning

_FILE = "preview.safetensors"
_SEEDS = 2**32


class Draw(Protocol):
    """Draws one picture into a file, with the network of a file (at the picture's strength) or without."""

    def __call__(self, model: BaseModel, picture: Picture, network: Path | None, to: Path) -> None: ...


@dataclass(frozen=True)
class Previews:
    """What is drawn, when, and where it goes."""

    draw: Draw
    prompts: Path
    """Read anew each time: it may be edited while the run goes."""
    default: Picture
    every: Every
    folder: Path
    name: str
    seed: int
    clock: Callable[[], float]
    at_first: bool = False
    without_network: bool = False
    """Whether each picture is drawn without the network too."""

    def due(self, step: int, ended_epoch: int | None) -> bool:
        """Whether pictures belong to this step; a rhythm in epochs overrides one in steps, as kohya's."""
        every = replace(self.every, steps=0) if self.every.epochs else self.every
        return self.at_first if step == 0 else every.at(step, ended_epoch)

    def drawn(
        self, learning: Learning, write: Callable[[Path], None], step: int, ended_epoch: int | None
    ) -> Iterator[Sampled | NotSampled]:
        """Draws every prompt; what cannot be drawn is told and ends nothing.

        Args:
            learning: The run as it is now.
            write: Writes the network file to draw with.
            step: Updates done.
            ended_epoch: The epoch that is whole with it; None inside of one.
        """
        when = f"{step:06d}" if ended_epoch is None else f"e{ended_epoch:06d}"
        with tempfile.TemporaryDirectory() as place, alone(learning.model, learning.presence):
            try:
                file = Path(place) / _FILE
                write(file)
                self.folder.mkdir(parents=True, exist_ok=True)
                pictures = read_prompts(self.prompts, self.default)
            except (LycoError, OSError) as error:
                yield NotSampled(step, str(error))
                return
            for index, picture in enumerate(pictures):
                for network in (file, None) if self.without_network else (file,):
                    yield self._one(learning, (picture, index), network, (when, step))

    def _one(
        self, learning: Learning, numbered: tuple[Picture, int], network: Path | None, at: tuple[str, int]
    ) -> Sampled | NotSampled:
        (picture, index), (when, step) = numbered, at
        path = self.folder / self._file_name(picture, index, when, network is not None)
        if picture.seed is None:
            picture = replace(picture, seed=derived_seed("sample", self.seed, step, index) % _SEEDS)
        try:
            with learning.precision.context():
                self.draw(learning.model, picture, network, path)
        except (LycoError, OSError, RuntimeError) as error:  # RuntimeError: out of memory is one
            return NotSampled(step, str(error))
        return Sampled(path, step, picture.prompt, network is not None)

    def _file_name(self, picture: Picture, index: int, when: str, with_network: bool) -> str:
        """sd-scripts' name, and a word for pictures without the network."""
        moment = time.strftime("%Y%m%d%H%M%S", time.localtime(self.clock()))
        seed = "" if picture.seed is None else f"_{picture.seed}"
        without = "" if with_network else "_without"
        return f"{self.name}_{when}_{index:02d}_{moment}{seed}{without}.png"
