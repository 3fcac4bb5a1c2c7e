"""Our trainer as a process that is measured; the arguments are a script of sd-scripts and its flags."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.train.gate import Gate
from lib_lyco.entry.device import pick_device
from lib_lyco.models.load import load_model
from lib_lyco.train.events import Started, Step
from lib_lyco.train.kohya.read import from_flags
from lib_lyco.train.precision import DTYPES, choose_precision
from lib_lyco.train.run import train


def main(script: str, flags: Sequence[str]) -> None:
    """Trains by the flags; prints the notes of their import and of the plan."""
    imported = from_flags(flags, is_sdxl=script.startswith("sdxl_"))
    config = imported.config()
    device = pick_device("")
    dtype = DTYPES[choose_precision(config.precision, device)]
    model = load_model(config.base_model, device, dtype)
    print(*imported.notes, sep="\n")
    gate = Gate()
    for event in train(config, model):
        if isinstance(event, Started):
            print(event.plan, *event.plan.notes, sep="\n")
        elif isinstance(event, Step) and event.step < event.total:
            gate.arrive(None if event.step == 1 else event.loss)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
