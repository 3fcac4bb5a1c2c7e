"""What a run told, kept: its losses for the plot, its messages for people.

The numbers are in a file of the training's own form (`train.log.JsonLines`), which a resumed run takes up
at the step it goes on from; the messages of all its parts are in another.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_lyco.studio.record import number

NUMBERS, MESSAGES = "events.jsonl", "messages.jsonl"
_MOST_POINTS = 2000


@dataclass
class History:
    """The numbers of a run, by step."""

    steps: list[int] = field(default_factory=list[int])
    losses: list[float] = field(default_factory=list[float])
    averages: list[float] = field(default_factory=list[float])
    rates: list[Mapping[str, float]] = field(default_factory=list[Mapping[str, float]])
    validation: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    saved: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    samples: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def add(self, line: Mapping[str, Any]) -> None:
        """Takes up one line of the file."""
        if "learning_rates" in line:
            self.steps.append(line["step"])
            self.losses.append(line["loss"])
            self.averages.append(line["average_loss"])
            self.rates.append(line["learning_rates"])
        elif "validation_loss" in line:
            self.validation.append((line["step"], line["validation_loss"]))
        elif line.get("event") == "recovered":
            self._go_back_to(line["back_to"])
        elif line.get("event") == "saved":
            self.saved.append({name: line.get(name) for name in ("path", "step", "epoch", "reason")})
        elif line.get("event") == "failed" and line.get("saved"):
            # what was rescued of a run that could not go on
            self.saved.append(
                {"path": line["saved"], "step": line["step"], "epoch": 0, "reason": "rescued"}
            )
        elif line.get("event") == "sampled":
            self.samples.append({name: line[name] for name in ("path", "step", "prompt", "with_network")})

    def _go_back_to(self, step: int) -> None:
        """Leaves out what was told of steps that are made again."""
        kept = bisect_right(self.steps, step)
        for column in (self.steps, self.losses, self.averages, self.rates):
            del column[kept:]
        self.validation[:] = [pair for pair in self.validation if pair[0] <= step]

    def curves(self, after: int) -> dict[str, Any]:
        """The curves behind a step: at most so many points, evenly spread; the last one is among them."""
        # the run may be adding a step just now: its rates come last
        count = len(self.rates)
        first = bisect_right(self.steps, after, hi=count)
        stride = -(-(count - first) // _MOST_POINTS) or 1
        chosen = range(count - 1, first - 1, -stride)[::-1]
        groups = {group for at in chosen for group in self.rates[at]}
        return {
            "steps": [self.steps[at] for at in chosen],
            "losses": [number(self.losses[at]) for at in chosen],
            "averages": [number(self.averages[at]) for at in chosen],
            "rates": {
                group: [number(self.rates[at].get(group, math.nan)) for at in chosen]
                for group in sorted(groups)
            },
            "validation": self.validation_json(after),
        }

    def validation_json(self, after: int = 0) -> list[list[float | None]]:
        """Pairs of step and loss."""
        return [[step, number(loss)] for step, loss in self.validation if step > after]


def read_history(folder: Path, until: float = math.inf) -> History:
    """What is kept in a run's folder, up to a step. A line that cannot be understood is left out."""
    history = History()
    for line in _lines(folder / NUMBERS):
        with suppress(KeyError, TypeError):
            if line["step"] <= until:
                history.add(line)
    return history


def read_messages(folder: Path, most: int) -> list[dict[str, Any]]:
    """The last messages: `time`, `kind`, `text`."""
    return [line for line in _lines(folder / MESSAGES) if "text" in line][-most:]


def add_message(folder: Path, time: float, kind: str, text: str) -> None:
    """Keeps a message; on a full disk it is lost, and the run goes on."""
    line = json.dumps({"time": time, "kind": kind, "text": text}, ensure_ascii=False)
    with suppress(OSError), open(folder / MESSAGES, "a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file; one cut off by a kill is none."""
    text = ""
    with suppress(OSError):
        text = path.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        with suppress(ValueError):
            found: Any = json.loads(line)
            if isinstance(found, dict):
                yield found
