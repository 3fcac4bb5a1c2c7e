"""What can be done with runs: made, stopped, let go on, put in order, removed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lib_lyco.errors import ConfigError
from lib_lyco.studio.live_run import LiveRun
from lib_lyco.studio.making import Maker
from lib_lyco.studio.record import ACTIVE, Kind, Record
from lib_lyco.studio.removal import remove_run
from lib_lyco.studio.store import Store
from lib_lyco.studio.worker import ENDED, Worker
from lib_lyco.studio.workplace import Provider
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.train.control import Control

_ASKED: Mapping[str, Callable[[Control], None]] = MappingProxyType(
    {
        "stop": Control.stop,
        "pause": Control.pause,
        "resume": Control.resume,
        "save": Control.save,
        "sample": Control.sample,
    }
)


class Runs:
    """The runs of a data folder.

    Args:
        folder: Where they are kept.
        provider: Where they take place.
        output: Folder of the networks, for runs that name none.
    """

    def __init__(self, folder: Path, provider: Provider, output: Path) -> None:
        self.store = Store(folder)
        self.provider = provider
        self._output = output
        maker = Maker(self.store, provider)
        self.worker = Worker(self.store, maker, maker.is_back)

    def start(self) -> None:
        """Begins to work on what is queued."""
        self.worker.start()

    def close(self, goes_on: bool = False) -> None:
        """Ends the work; a run in progress is saved, and goes on by itself at the next start if wanted."""
        self.worker.close(goes_on)

    def config(self, values: Mapping[str, Any]) -> TrainConfig:
        """The options of a run from those that are given.

        Raises:
            ConfigError: One cannot work.
        """
        # the output is a folder that pickers of networks look through: no logs in there
        logs = self.store.folder.parent / "logs"
        return make_config({"output": str(self._output), "logging_dir": str(logs), **values})

    def submit(self, config: TrainConfig, kind: Kind = "train", of: str = "") -> Record:
        """Queues a run; it begins by itself. `of` is the run whose files are compared, if they are.

        Raises:
            ConfigError: The base model cannot be trained on, or another program works on the runs.
        """
        self._demand_own()
        record = self.store.create(config, kind, self._base_title(config), of)
        self.worker.wake()
        return record

    def records(self) -> list[Record]:
        """All runs as they stand now, the newest first."""
        with self.worker.standstill:
            live = self.worker.live
            return [self._as_it_stands(record, live) for record in self.store.records()]

    def record(self, id: str) -> Record:
        """One run as it stands now.

        Raises:
            ConfigError: There is none with this id.
        """
        with self.worker.standstill:
            return self._as_it_stands(self.store.record(id), self.worker.live)

    def live(self, id: str) -> LiveRun | None:
        """The run, if it is worked on here."""
        live = self.worker.live
        return live if live and live.record.id == id else None

    def act(self, id: str, action: str) -> Record:
        """Does with a run what is asked for.

        Args:
            action: `stop`, `pause`, `resume`, `save`, `sample`, `discard` or `again`.

        Raises:
            ConfigError: That cannot be done with a run that stands as this one does.
        """
        self._demand_own()
        with self.worker.standstill:
            return self._act(id, action)

    def _act(self, id: str, action: str) -> Record:
        live, record = self.live(id), self.record(id)
        if action == "discard":
            return self._discard(record, live)
        if live and action in _ASKED:
            _ASKED[action](live.control)
        elif record.state == "queued" and action == "stop":
            self.store.write(replace(record, state="stopped", message="Taken out of the queue."))
        elif record.state == "paused" and action == "stop":
            self.store.write(replace(record, state="stopped"))
        elif action in ("resume", "again") and not live and record.state != "queued":
            return self._again(record)
        else:
            raise ConfigError(
                f"This cannot be asked of a run that is {record.state}", got=repr(action)[:40]
            )
        return self.record(id)

    def reorder(self, ids: Sequence[str]) -> list[Record]:
        """Puts queued runs in an order; those not named come behind.

        Raises:
            ConfigError: Another program works on the runs.
        """
        self._demand_own()
        self.store.set_order(ids)
        return self.queue()

    def queue(self) -> list[Record]:
        """The runs that wait, the next one first."""
        return [record for record in map(self.record, self.store.order()) if record.state == "queued"]

    def _discard(self, record: Record, live: LiveRun | None) -> Record:
        if live:
            live.discarded = True
            live.control.leave("Discarded.")
        else:
            remove_run(self.store, record)
        return record

    def _again(self, record: Record) -> Record:
        """Lets a run go on from its last state; one that was whole is made anew beside it."""
        if record.state == "finished":
            config = self.store.config(record.id)
            if record.kind == "train":
                config = config.replaced(name=free_name(config))
            return self.submit(config, record.kind, record.of)
        self.store.set_order([record.id, *self.store.order()])
        goes_on = record.kind == "train" and record.step > 0
        queued = replace(record, state="queued", message="", ended=None, resumes=goes_on)
        self.store.write(replace(queued, waits=False, loads=record.waits))
        self.worker.wake()
        return self.record(record.id)

    def _as_it_stands(self, record: Record, live: LiveRun | None) -> Record:
        if live and live.record.id == record.id:
            return live.record
        if record.state in ACTIVE - {"paused"} and not self.worker.elsewhere:
            return replace(record, state="interrupted", phase="", eta=None, message=ENDED)
        return record

    def _base_title(self, config: TrainConfig) -> str:
        bases = self.provider.bases()
        chosen = next((base for base in bases if base.name == config.base_model), None)
        if chosen is None:
            return Path(config.base_model).stem
        if chosen.problem:
            raise ConfigError(chosen.problem, where="base_model")
        return chosen.title

    def _demand_own(self) -> None:
        if self.worker.elsewhere:
            raise ConfigError(self.worker.elsewhere)


def free_name(config: TrainConfig) -> str:
    """The run's name with the first number behind it of which the output folder has no network."""
    base, output = re.sub(r"-\d{1,3}$", "", config.name), Path(config.output)
    there = [path.name for path in output.iterdir()] if output.is_dir() else []
    number = 2
    while any(name.startswith(f"{base}-{number}") for name in there):
        number += 1
    return f"{base}-{number}"
