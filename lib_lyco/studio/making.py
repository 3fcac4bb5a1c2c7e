"""A run of the queue becomes a training at a place."""

from __future__ import annotations

from collections import deque

from lib_lyco.studio.afterwards import complete_run
from lib_lyco.studio.best import judge_run
from lib_lyco.studio.live_run import LiveRun
from lib_lyco.studio.record import Record
from lib_lyco.studio.rehearsal import rehearse
from lib_lyco.studio.store import Store
from lib_lyco.studio.telling import WAITING
from lib_lyco.studio.workplace import Base, Interrupted, Provider, waiting
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.run import train
from lib_lyco.train.state import AUTO

_HASH = " ["
"""What parts a checkpoint's name from its hash in the WebUI's titles."""


class Maker:
    """Makes the runs of a store where a provider lets them.

    Args:
        store: The runs.
        provider: Where they take place.
    """

    def __init__(self, store: Store, provider: Provider) -> None:
        self._store = store
        self._provider = provider

    def __call__(self, run: LiveRun) -> None:
        """Makes one run; see `Trains`."""
        config = self._store.config(run.record.id)
        self._demand_same_base(config, run)
        base = run.record.base if run.record.loads else config.base_model
        with self._provider.open(config.replaced(base_model=base)) as place:
            run.control.aside = place.aside
            run.change(phase=WAITING)
            if run.record.kind == "rehearsal":
                run.change(result=rehearse(config, place, run), path=None)
                return
            if run.record.kind == "best":
                judge_run(self._store, run, place)
                return
            if run.record.resumes:
                config = config.replaced(resume=AUTO)
            events = train(config, place.model, run.control, draw=place.draw)
            deque(run.driven(events, place), maxlen=0)
        complete_run(run, config)

    def _demand_same_base(self, config: TrainConfig, run: LiveRun) -> None:
        """Demands that the loaded base model is the one that was loaded when the run was made."""
        if config.base_model or run.record.loads:
            return
        loaded = self._loaded()
        if loaded is None or _is_same(loaded, run.record):
            return
        raise Interrupted(waiting(run.record.base, f"{loaded.title} is loaded now."))

    def is_back(self, record: Record) -> bool:
        """Whether a run's base model is loaded, and can be trained on."""
        loaded = self._loaded()
        return loaded is not None and _is_same(loaded, record) and not loaded.problem

    def _loaded(self) -> Base | None:
        return next(iter(self._provider.bases()), None)


def _is_same(base: Base, record: Record) -> bool:
    """Whether a run is for this base model; the hash in a title may be known or not yet."""
    return base.title.partition(_HASH)[0] == record.base.partition(_HASH)[0]
