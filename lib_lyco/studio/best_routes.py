"""What the page asks about the best of a run's files, and the answers; all below `/lyco/train/best/`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from lib_lyco.errors import ConfigError, FileError
from lib_lyco.studio.best import Asked, make_wish, read_asked, write_asked
from lib_lyco.studio.history import read_history
from lib_lyco.studio.keeping_one import Chosen, going, keep_one
from lib_lyco.studio.record import ACTIVE, Record, row
from lib_lyco.studio.runs import Runs
from lib_lyco.studio.states import own_states
from lib_lyco.studio.verdict import FOLDER, Verdict, own_files, read_verdict
from lib_lyco.web.route import Ask, Content, Route

_BEST = "/lyco/train/best/{id}"
_MOST_STRENGTHS, _LARGEST = 8, 4.0


class BestRoutes:
    """The answers.

    Args:
        runs: What they are about.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("GET", _BEST, self.best),
            Route("POST", _BEST, self.compare),
            Route("GET", f"{_BEST}/picture", self.picture),
            Route("POST", f"{_BEST}/keep", self.keep),
        ]

    def best(self, ask: Ask) -> dict[str, Any]:
        """What is known of a run's files, and the run that compares them, if there is one."""
        record = self._runs.record(ask.given["id"])
        place, config = self._place(record), self._runs.store.config(record.id)
        job, asked, verdict = self._job(record.id), read_asked(place), read_verdict(place / FOLDER)
        files = own_files(read_history(place), Path(config.output))
        return {
            "run": row(record),
            "job": {**row(job), "phase": job.phase} if job else None,
            "files": [
                {
                    "name": one.name,
                    "step": one.step,
                    "epoch": one.epoch,
                    "going": _listed(going(config, files, one.name)),
                }
                for one in files
            ],
            "states": _listed(own_states(config, record.started or 0.0)),
            "strengths": list(asked.strengths),
            "prompts": asked.prompts,
            "verdict": {**asdict(verdict), "best": verdict.best} if verdict else None,
        }

    def compare(self, ask: Ask) -> dict[str, Any]:
        """Queues the comparison of a run's files."""
        record = self._finished(ask)
        asked = Asked(_strengths(ask.body.get("strengths")), _text(ask.body, "prompts"))
        write_asked(self._place(record), asked)
        make_wish(self._runs.store, record.id)  # demands that there are files
        config = self._runs.store.config(record.id)
        return row(self._runs.submit(config, "best", of=record.id))

    def picture(self, ask: Ask) -> Content:
        """One of the pictures."""
        folder, name = self._place(self._runs.record(ask.given["id"])) / FOLDER, ask.given.get("name", "")
        verdict = read_verdict(folder)
        if verdict is None or name not in _pictures(verdict):
            raise FileError("There is no such picture of this run", got=repr(name)[:80])
        try:
            return Content((folder / name).read_bytes(), "image/png")
        except OSError as error:
            raise FileError("The picture cannot be read", where=name, got=str(error)) from error

    def keep(self, ask: Ask) -> dict[str, Any]:
        """Makes one file the run's network, and removes the others."""
        record = self._finished(ask)
        place, config = self._place(record), self._runs.store.config(record.id)
        verdict = read_verdict(place / FOLDER)
        if verdict is None:
            raise ConfigError("The files of this run have not been compared", remedy="Compare them first.")
        name = _text(ask.body, "file")
        (strength,) = _strengths([ask.body.get("strength")])
        chosen = Chosen(name, strength, _cover(place / FOLDER, verdict, name, strength))
        states = own_states(config, record.started or 0.0) if ask.body.get("states") is True else []
        outcome = keep_one(config, read_history(place), verdict, chosen, states)
        verdict.kept = name
        verdict.write(place / FOLDER)
        return {
            "path": str(outcome.path),
            "removed": list(outcome.removed),
            "problems": list(outcome.problems),
        }

    def _finished(self, ask: Ask) -> Record:
        """The run, where nobody works on its files.

        Raises:
            ConfigError: Somebody does.
        """
        record = self._runs.record(ask.given["id"])
        job = self._job(record.id)
        if record.kind != "train" or record.state in ACTIVE or record.state == "queued":
            raise ConfigError(
                "This run is not over", got=record.state, remedy="Wait until it is, or stop it."
            )
        if job and (job.state in ACTIVE or job.state == "queued"):
            raise ConfigError("The files of this run are being compared", remedy="Wait for it, or stop it.")
        return record

    def _job(self, id: str) -> Record | None:
        """The newest comparison of a run's files."""
        return next((one for one in self._runs.records() if one.kind == "best" and one.of == id), None)

    def _place(self, record: Record) -> Path:
        return self._runs.store.place(record.id)


def _listed(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Names and bytes of files that are there."""
    sizes = {path: path.stat().st_size for path in paths if path.is_file()}
    return [{"name": path.name, "bytes": size} for path, size in sizes.items()]


def _pictures(verdict: Verdict) -> set[str]:
    return {name for row in verdict.rows for cell in row.cells for name in cell.pictures if name}


def _cover(folder: Path, verdict: Verdict, name: str, strength: float) -> Path | None:
    """The first picture that was drawn with a file at a strength."""
    drawn = (
        picture
        for row in verdict.rows
        if row.name == name
        for cell in row.cells
        if math.isclose(cell.strength, strength)
        for picture in cell.pictures
        if picture
    )
    first = next(drawn, None)
    return folder / first if first else None


def _strengths(value: Any) -> tuple[float, ...]:
    def wrong() -> ConfigError:
        return ConfigError(
            "strengths cannot be this",
            where="strengths",
            got=repr(value)[:60],
            expected=f"up to {_MOST_STRENGTHS} different numbers from -{_LARGEST:g} to {_LARGEST:g}",
        )

    if not isinstance(value, list):
        raise wrong()
    given = cast("list[Any]", value)
    if not all(isinstance(one, int | float) and abs(one) <= _LARGEST for one in given):
        raise wrong()
    strengths = tuple(sorted({float(one) for one in given}))
    if not 0 < len(strengths) <= _MOST_STRENGTHS:
        raise wrong()
    return strengths


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise ConfigError(f"{name} cannot be this", where=name, got=repr(value)[:60], expected="a text")
    return value
