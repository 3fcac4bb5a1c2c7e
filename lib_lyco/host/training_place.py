"""Where runs take place in the WebUI: on its own model, in turns with whoever draws pictures."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from modules import call_queue, devices, sd_models

from lib_lyco.host.app import HostApp
from lib_lyco.host.training_base import bases, opened_base
from lib_lyco.host.training_draw import HostDraw
from lib_lyco.host.training_hollow import HollowModels
from lib_lyco.host.training_live import Trainee
from lib_lyco.host.training_model import HostTrainingModel
from lib_lyco.host.training_turn import Gate, HostGuest, OwnGuest, Turns
from lib_lyco.models.base import BaseModel
from lib_lyco.studio.workplace import Base, Memory
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.preview import Draw


@dataclass(frozen=True)
class HostPlace:
    """A run in the WebUI; see `Place`."""

    model: BaseModel
    turns: Turns
    draw: Draw | None

    def turn(self) -> AbstractContextManager[None]:
        """See `Place.turn`."""
        return self.turns.turn()

    def aside(self) -> AbstractContextManager[None]:
        """See `Place.aside`."""
        return self.turns.aside()


class HostProvider:
    """The host's checkpoints; see `Provider`.

    Args:
        app: The extension.
        gate: Held during each turn.
    """

    def __init__(self, app: HostApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate
        self._hollow = HollowModels()
        self.trainee: Trainee | None = None
        """The run that takes place now on the host's model."""

    def bases(self) -> Sequence[Base]:
        """See `training_base.bases`."""
        return bases(self._hollow)

    def memory(self) -> Memory | None:
        """Of the GPU."""
        if devices.device.type != "cuda":
            return None
        free, total = torch.cuda.mem_get_info(devices.device)
        return Memory(total - free, total)

    @contextmanager
    def open(self, config: TrainConfig) -> Generator[HostPlace]:
        """See `training_base.opened_base`. Sample pictures are drawn where the host has the model."""
        with call_queue.queue_lock:
            # what a network has put into the host's model is not part of it
            self._app.engine.put_away()
        with opened_base(config) as model:
            place = self._place(model, config)
            try:
                yield place
            finally:
                place.turns.close()
                self.trainee = None

    def _place(self, model: BaseModel, config: TrainConfig) -> HostPlace:
        owner = sd_models.model_data.sd_model
        if owner is None or not isinstance(model, HostTrainingModel):
            return HostPlace(model, Turns(OwnGuest(), self._gate), None)
        guest = HostGuest(model, owner, self._app.engine)
        self.trainee = Trainee(model.presence, config)
        draw = HostDraw(self._app, Path(config.output), config.name)
        return HostPlace(model, Turns(guest, self._gate), draw)
