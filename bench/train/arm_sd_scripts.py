"""sd-scripts' trainer as a process that is measured; the arguments are a script's name and its own flags.

Runs in an environment with sd-scripts' requirements, in the folder of its checkout. Nothing of it is
changed: the gate stands in `on_step_start`, which it leaves to those who inherit from its trainer.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

from bench.train.gate import Gate

_TRAINERS = {"train_network": "NetworkTrainer", "sdxl_train_network": "SdxlNetworkTrainer"}


def main(name: str, flags: Sequence[str]) -> None:
    """Trains with a script by the flags."""
    sys.path.insert(0, ".")
    script: Any = importlib.import_module(name)
    util: Any = importlib.import_module("library.train_util")
    parser = script.setup_parser()
    arguments = parser.parse_args(list(flags))
    util.verify_command_line_training_args(arguments)
    _gated(getattr(script, _TRAINERS[name]))().train(util.read_config_from_file(arguments, parser))


def _gated(trainer: Any) -> Any:
    """The trainer with a gate after each step but the last."""

    class Gated(trainer):
        def __init__(self) -> None:
            super().__init__()
            self.gate = Gate()
            self.step = 0
            self.loss: Any = None

        def on_step_start(self, *args: Any, **kwargs: Any) -> Any:
            if self.step:
                self.gate.arrive(None if self.step == 1 else self.loss.item())
            self.step += 1
            return super().on_step_start(*args, **kwargs)

        def process_batch(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().process_batch(*args, **kwargs)
            self.loss = loss.detach()
            return loss

    return Gated


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
