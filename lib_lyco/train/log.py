"""What a run has told, kept: our own file of lines always, TensorBoard and W&B where wanted."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from lib_lyco.errors import MissingPackageError
from lib_lyco.train.events import (
    Eased,
    Event,
    Failed,
    Finished,
    NotSampled,
    Paused,
    Recovered,
    Resumed,
    Sampled,
    Saved,
    Step,
    Validated,
)

_RECOVERED = "recovered"
_TOLD = (Saved, Paused, Resumed, Eased, Recovered, Sampled, NotSampled, Finished, Failed)


class Log(Protocol):
    """One place where a run is kept."""

    def add(self, event: Event) -> None:
        """Keeps what the place is for."""
        ...

    def close(self) -> None:
        """Nothing comes after this."""
        ...


def logged(events: Iterable[Event], logs: Sequence[Log]) -> Iterator[Event]:
    """The same events, each kept by the logs before it is handed on; what is thrown in reaches the run."""
    run = iter(events)
    go_on = partial(next, run, None)
    try:
        while (event := go_on()) is not None:
            for log in logs:
                log.add(event)
            go_on = partial(next, run, None)
            try:
                yield event
            except Exception as error:
                if not isinstance(run, Generator):
                    raise
                go_on = partial(_thrown, run, error)
    finally:
        for log in logs:
            log.close()


def _thrown(run: Generator[Event], error: Exception) -> Event | None:
    try:
        return run.throw(error)
    except StopIteration:
        return None


def run_folder(root: Path, prefix: str, started_at: float) -> Path:
    """sd-scripts' folder of one run: prefix and time, which is UTC here, so that a resumed run finds it."""
    return root / (prefix + time.strftime("%Y%m%d%H%M%S", time.gmtime(started_at)))


def figures(event: Event) -> dict[str, float]:
    """An event's numbers under the names that sd-scripts logs them by."""
    if isinstance(event, Step):
        rates = {f"lr/{name}": rate for name, rate in event.learning_rates.items()}
        return {"loss/current": event.loss, "loss/average": event.average_loss, **rates}
    return {"loss/validation": event.loss} if isinstance(event, Validated) else {}


class JsonLines:
    """A file with one JSON object a line. A resumed run goes on in it, from the step it goes on from."""

    def __init__(self, path: Path, first_step: int) -> None:
        self._path = path
        self._rows = [row for row in _rows(path) if int(row["step"]) <= first_step]
        self._begun = False

    def add(self, event: Event) -> None:
        """Keeps steps, validation and everything told; nothing is written before the first step."""
        row = event_line(event)
        if row is None:
            return
        if isinstance(event, Recovered):
            self._go_back_to(event.back_to)
        self._rows.append(row)
        if isinstance(event, Step) or self._begun or self._path.is_file():
            # the next save tells of a full disk, and waits; until then rows wait too
            with suppress(OSError):
                self._write()

    def close(self) -> None:
        """Every row is in the file already."""

    def _go_back_to(self, step: int) -> None:
        """Drops what was told of the steps that are made again."""
        rows = [*(_rows(self._path) if self._begun else ()), *self._rows]
        kept = [row for row in rows if int(row["step"]) <= step or row.get("event") == _RECOVERED]
        if len(kept) < len(rows):
            self._rows, self._begun = kept, False

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(row) + "\n" for row in self._rows)
        with open(self._path, "a" if self._begun else "w", encoding="utf-8") as file:
            file.write(text)
        self._begun = True
        self._rows.clear()


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of an earlier part of the run; a line cut off by a kill is none."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                yield json.loads(line)


def event_line(event: Event) -> dict[str, Any] | None:
    """What one line says of an event; None if nothing."""
    if isinstance(event, Step):
        return {
            "step": event.step,
            "epoch": event.epoch,
            "loss": event.loss,
            "average_loss": event.average_loss,
            "learning_rates": dict(event.learning_rates),
            "seconds": round(event.seconds, 3),
            "updated": event.updated,
        }
    if isinstance(event, Validated):
        return {"step": event.step, "epoch": event.epoch, "validation_loss": event.loss}
    if isinstance(event, _TOLD):
        values = {
            key: str(value) if isinstance(value, Path) else value for key, value in vars(event).items()
        }
        return {**values, "event": type(event).__name__.lower()}
    return None


class TensorBoard:
    """TensorBoard's files of events."""

    def __init__(self, folder: Path, first_step: int) -> None:
        """
        Raises:
            MissingPackageError: tensorboard is not installed.
        """
        module = _imported("torch.utils.tensorboard", "tensorboard")
        self._open = partial(module.SummaryWriter, str(folder))
        # what an earlier part of the run logged after the step it goes on from is hidden
        self._writer = self._open(purge_step=first_step + 1)

    def add(self, event: Event) -> None:
        """Keeps numbers."""
        if isinstance(event, Recovered):
            self._writer.close()
            self._writer = self._open(purge_step=event.back_to + 1)
        for name, value in figures(event).items():
            assert isinstance(event, Step | Validated)
            self._writer.add_scalar(name, value, event.step)

    def close(self) -> None:
        """Writes what is waiting."""
        self._writer.close()


class WeightsAndBiases:
    """A run at Weights & Biases. Its key comes from WANDB_API_KEY, a key file or `wandb login`: never
    from an option, which the list of processes would show."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], key: str = "") -> None:
        """
        Raises:
            MissingPackageError: wandb is not installed.
        """
        self._wandb = _imported("wandb", "wandb")
        if key:
            self._wandb.login(key=key)
        folder.mkdir(parents=True, exist_ok=True)
        self._run = self._wandb.init(dir=str(folder), **settings)

    def add(self, event: Event) -> None:
        """Keeps numbers and sample pictures."""
        if isinstance(event, Sampled):
            picture = self._wandb.Image(str(event.path), caption=event.prompt)
            self._run.log({event.path.stem: picture}, step=event.step, commit=False)
        elif isinstance(event, Step | Validated):
            self._run.log(figures(event), step=event.step)

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


def _imported(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            "A package that log_with asks for is not installed.",
            where="log_with",
            got=str(error),
            remedy=f"pip install {package}",
        ) from error
