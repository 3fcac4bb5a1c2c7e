"""An epoch of any length needs no memory for batches that are not yet its turn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lib_lyco.train.config import TrainConfig
from lib_lyco.train.control import Control
from lib_lyco.train.data.order import Batches, Sample
from lib_lyco.train.events import Started, Step
from lib_lyco.train.run import train
from tests.train.test_run import clock
from tests.train.tiny import TinyModel

Make = Callable[..., TrainConfig]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_a_long_epoch_are_made_when_they_are_needed(
    make_config: Make, photographs: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    (photographs / "2_chelsea cat").rename(photographs / "2000_chelsea cat")
    made: list[Sample] = []
    ask = Batches.__getitem__

    def count(batches: Batches, index: int | slice) -> tuple[Sample, ...] | Batches:
        found = ask(batches, index)
        made.extend(() if isinstance(found, Batches) else found)
        return found

    monkeypatch.setattr(Batches, "__getitem__", count)
    control, config = Control(), make_config(workers=workers, latent_cache="off")
    for event in train(config, TinyModel(), control, clock):
        if isinstance(event, Started):
            assert event.plan.steps_per_epoch == 4001
        if isinstance(event, Step) and event.step == 3:
            control.stop()
    num_made = len(made)
    assert 3 <= num_made < 20
