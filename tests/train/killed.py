"""A run on the embedded model in a process of its own, to be killed by `test_kill`."""

from __future__ import annotations

from multiprocessing.connection import Connection

import torch

from lib_lyco.demo.embedded import checkpoint
from lib_lyco.models.load import load_model
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.run import train


def trains(config: TrainConfig, started: Connection) -> None:
    """Trains; says when it begins."""
    torch.set_num_threads(1)
    model = load_model(checkpoint(), torch.device("cpu"), torch.float32)
    for number, _ in enumerate(train(config, model)):
        if number == 0:
            started.send(True)
