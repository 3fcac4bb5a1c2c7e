"""One of several processes of a training, started by torch's launcher for `test_processes`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from lib_lyco.models.base import PLAIN_TEXT, Cond, TextStyle
from lib_lyco.train.config_file import load_config
from lib_lyco.train.events import Step
from lib_lyco.train.launch import launched_place
from lib_lyco.train.run import train
from lib_lyco.train.world import joined_world
from tests.train.tiny import TinyModel


class Counting(TinyModel):
    """Counts what it encodes."""

    def __init__(self) -> None:
        super().__init__()
        self.images, self.captions = 0, list[str]()

    def encode_images(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        self.images += len(images)
        return super().encode_images(images, generator)

    def encode_prompts(
        self,
        prompts: Sequence[str],
        clip_skip: int = 1,
        style: TextStyle = PLAIN_TEXT,
        second: Sequence[str] | None = None,
    ) -> Cond:
        self.captions += prompts
        return super().encode_prompts(prompts, clip_skip, style, second)


def main() -> None:
    """Trains by the config file named; the first process tells its steps, each what it has encoded."""
    torch.set_num_threads(1)
    with joined_world(torch.device("cpu"), launched_place()) as world:
        model = Counting()
        for event in train(load_config(sys.argv[1]), model, world=world):
            if isinstance(event, Step) and world.writes:
                told = (event.step, event.epoch, event.loss, event.learning_rates["unet"])
                sys.stdout.write(f"step {' '.join(map(str, told))}\n")
        sys.stdout.write(
            f"process {world.rank} encoded {model.images} images, {len(model.captions)} captions\n"
        )


if __name__ == "__main__":
    main()
