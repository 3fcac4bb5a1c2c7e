"""A run of the queue becomes a training at a place."""

from __future__ import annotations

from collections import deque

from lib_lyco.studio.afterwards import complete_run
from lib_lyco.studio.best import judge_run
from lib_lyco.studio.live_run import LiveRun
from lib_lyco.studio.rehearsal import rehearse
from lib_lyco.studio.store import Store
from lib_lyco.studio.telling import WAITING
from lib_lyco.studio.workplace import Interrupted, Provider
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.run import train
from lib_lyco.train.state import AUTO


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
        with self._provider.open(config) as place:
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
        if config.base_model:
            return
        loaded = next(iter(self._provider.bases()), None)
        if loaded is None or loaded.title == run.record.base:
            return
        raise Interrupted(
            f"This run was made for {run.record.base}, and {loaded.title} is loaded now. Load the other "
            "one and resume, or discard this run."
        )
