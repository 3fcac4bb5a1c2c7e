"""One of several processes of a training, started by torch's launcher for `test_processes`."""

from __future__ import annotations

import sys

import torch

from lib_lyco.train.config_file import load_config
from lib_lyco.train.events import Step
from lib_lyco.train.run import train
from lib_lyco.train.world import joined_world
from tests.train.tiny import TinyModel


def main() -> None:
    """Trains by the config file named; the first process tells its steps."""
    torch.set_num_threads(1)
    with joined_world(torch.device("cpu")) as world:
        for event in train(load_config(sys.argv[1]), TinyModel(), world=world):
            if isinstance(event, Step) and world.writes:
                told = (event.step, event.epoch, event.loss, event.learning_rates["unet"])
                sys.stdout.write(f"step {' '.join(map(str, told))}\n")


if __name__ == "__main__":
    main()
