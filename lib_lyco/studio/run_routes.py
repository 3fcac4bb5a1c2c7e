"""What the page asks of runs, and the answers.

All addresses are below `/lyco/train/`; errors are told as `{"detail", "field"}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from lib_lyco.errors import ConfigError
from lib_lyco.studio.history import History, read_history, read_messages
from lib_lyco.studio.record import Record, row
from lib_lyco.studio.report import report
from lib_lyco.studio.rights import Rights
from lib_lyco.studio.runs import Runs
from lib_lyco.studio.samples import Samples
from lib_lyco.studio.titles import TITLES
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.option import declarations
from lib_lyco.web.route import Ask, Content, Route

_PREFIX = "/lyco/train"
_PAST, _MESSAGES = 100, 200


class RunRoutes:
    """The answers.

    Args:
        runs: What they are about.
        rights: What whoever asks may do.
    """

    def __init__(self, runs: Runs, rights: Rights) -> None:
        self._runs = runs
        self._rights = rights
        self._samples = Samples()
        self._read: tuple[object, History] | None = None

    def routes(self) -> list[Route]:
        """All of them."""
        run = f"{_PREFIX}/runs/{{id}}"
        return [
            Route("GET", f"{_PREFIX}/runs", self.runs),
            Route("POST", f"{_PREFIX}/runs", self.submit),
            Route("GET", run, self.run),
            Route("GET", f"{run}/losses", self.losses),
            Route("GET", f"{run}/picture", self.picture),
            Route("GET", f"{run}/report", self.report),
            Route("POST", f"{run}/do", self.do),
            Route("POST", f"{_PREFIX}/queue", self.queue),
            Route("GET", f"{_PREFIX}/difference", self.difference),
        ]

    def runs(self, ask: Ask) -> dict[str, Any]:
        """How everything stands; what the page polls."""
        live = self._runs.worker.live
        current = live.record if live else None
        queue = self._runs.queue()
        taken = {record.id for record in queue} | ({current.id} if current else set())
        past = [record for record in self._runs.records() if record.id not in taken]
        memory = self._runs.provider.memory()
        seen = [(record.id, record.state) for record in (*past, *queue, *([current] if current else ()))]
        return {
            "current": row(current) if current else None,
            "queue": [row(record) for record in queue],
            "past": [row(record) for record in past[:_PAST]],
            "past_total": len(past),
            "memory": asdict(memory) if memory else None,
            "can_train": self._runs.worker.elsewhere or self._rights.refusal(ask.is_local),
            "revision": sha256(repr(seen).encode()).hexdigest()[:12],
        }

    def submit(self, ask: Ask) -> dict[str, Any]:
        """Queues a run."""
        kind = ask.body.get("kind", "train")
        if kind not in ("train", "rehearsal"):
            raise ConfigError("There is no such kind of run", where="kind", got=repr(kind)[:40])
        config = self._runs.config(_object(ask, "config"))
        self._rights.demand_paths(config)
        return row(self._runs.submit(config, kind))

    def run(self, ask: Ask) -> dict[str, Any]:
        """One run with all that it told."""
        record = self._record(ask)
        history, folder = self._history(record), self._runs.store.place(record.id)
        config = self._runs.store.config(record.id)
        values = settings(config)
        return {
            **row(record),
            "phase": record.phase,
            "seconds_per_step": record.seconds_per_step,
            "messages": read_messages(folder, _MESSAGES),
            "config": values,
            "changed": [name for name, value in settings(TrainConfig()).items() if values[name] != value],
            "saved": [line for line in list(history.saved) if Path(line["path"]).is_file()],
            "samples": self._samples.told(history),
            "validation": history.validation_json(),
            "plan": record.plan,
        }

    def losses(self, ask: Ask) -> dict[str, Any]:
        """The curves of a run behind a step."""
        after = ask.given.get("after") or "0"
        if not (after.isascii() and after.isdigit() and len(after) < 10):
            raise ConfigError(
                "This is no step", where="after", got=repr(after)[:40], expected="a whole number"
            )
        return self._history(self._record(ask)).curves(int(after))

    def picture(self, ask: Ask) -> Content:
        """A sample picture of a run."""
        record = self._record(ask)
        output = self._runs.store.config(record.id).output
        return self._samples.picture(self._history(record), output, ask.given.get("name", ""))

    def report(self, ask: Ask) -> dict[str, Any]:
        """All about a run, to be sent to somebody who can help."""
        record = self._record(ask)
        return {"text": report(self._runs.store, record)}

    def do(self, ask: Ask) -> dict[str, Any]:
        """Does something with a run."""
        return row(self._runs.act(ask.given["id"], str(ask.body.get("action", ""))))

    def queue(self, ask: Ask) -> dict[str, Any]:
        """Puts the queue in order."""
        order: Any = ask.body.get("order")
        if not isinstance(order, list) or not all(isinstance(id, str) for id in cast("list[Any]", order)):
            raise ConfigError(
                "This is no order of runs", where="order", got=repr(order)[:60], expected="a list of ids"
            )
        return {"queue": [row(record) for record in self._runs.reorder(cast("list[str]", order))]}

    def difference(self, ask: Ask) -> dict[str, Any]:
        """The options in which two runs differ."""
        store = self._runs.store
        first, second = (_compared(store.config(ask.given.get(name, ""))) for name in ("a", "b"))
        return {
            "rows": [[name, first[name], second[name]] for name in first if first[name] != second[name]],
            "titles": {name: title for group in TITLES.values() for name, title in group.items()},
        }

    def _record(self, ask: Ask) -> Record:
        return self._runs.record(ask.given["id"])

    def _history(self, record: Record) -> History:
        """What a run told; of one that is over, the last one asked for is kept at hand."""
        live = self._runs.live(record.id)
        if live:
            return live.history
        key = (record.id, record.state, record.step, record.ended)
        if self._read is None or self._read[0] != key:
            self._read = key, read_history(self._runs.store.place(record.id))
        return self._read[1]


def settings(config: TrainConfig) -> dict[str, Any]:
    """Every option's value, as JSON has it."""
    values = ((one.name, getattr(config, one.name)) for one in declarations(TrainConfig))
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values}


def _compared(config: TrainConfig) -> dict[str, Any]:
    """The same, with the sample prompts themselves: each run has a file of its own."""
    told = settings(config)
    with suppress(OSError, UnicodeDecodeError):
        told["sample_prompts"] = Path(config.sample_prompts).read_text(encoding="utf-8-sig").strip()
    return told


def _object(ask: Ask, name: str) -> Mapping[str, Any]:
    value = ask.body.get(name)
    if not isinstance(value, dict):
        raise ConfigError(f"{name} cannot be this", got=repr(value)[:60], expected="an object")
    return cast("dict[str, Any]", value)
