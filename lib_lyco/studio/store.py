"""Runs on disk: a folder each, with what they are, their options and what they told.

Files are put in their place whole, so that whoever reads at any moment, or after a kill, finds the old one
or the new one.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lib_lyco.errors import ConfigError, FileError
from lib_lyco.files.replacing import replace_file
from lib_lyco.studio.record import Kind, Record, parse_record, record_text
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.config_file import dump_config, load_config

_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
_RECORD, _CONFIG, _ORDER = "run.json", "config.toml", "queue.json"


class Store:
    """The runs of one data folder.

    Args:
        folder: Where they lie.
        clock: Seconds since 1970.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._clock = clock
        self._lock = threading.RLock()
        self._known: dict[str, tuple[tuple[int, int], Record]] = {}

    def create(self, config: TrainConfig, kind: Kind, base: str, of: str = "") -> Record:
        """A new run, queued; `of` as in `Record`.

        Raises:
            FileError: It cannot be written.
        """
        now = self._clock()
        moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
        record = Record(
            f"{moment}-{secrets.token_hex(3)}", config.name, kind, "queued", now, base=base, of=of
        )
        place = self.folder / record.id
        try:
            place.mkdir(parents=True)
        except OSError as error:
            raise FileError(
                "The run cannot be kept", where=str(place), got=str(error), expected="a folder to write in"
            ) from error
        replace_file(place / _CONFIG, dump_config(self._with_own_prompts(config, place)).encode())
        self.write(record)
        return record

    def _with_own_prompts(self, config: TrainConfig, place: Path) -> TrainConfig:
        """The options with a copy of the sample prompts that the tab wrote: its next ones of that name are
        those of other runs."""
        prompts = Path(config.sample_prompts)
        if not config.sample_prompts or not prompts.is_relative_to(self.folder.parent):
            return config
        own = place / f"prompts{prompts.suffix}"
        try:
            replace_file(own, prompts.read_bytes())
        except OSError as error:
            raise FileError(
                "The sample prompts cannot be read.", where=str(prompts), got=str(error)
            ) from error
        return config.replaced(sample_prompts=str(own))

    def write(self, record: Record) -> None:
        """Keeps how a run stands.

        Raises:
            FileError: It cannot be written.
        """
        with self._lock:
            replace_file(self.folder / record.id / _RECORD, record_text(record).encode())

    def records(self) -> list[Record]:
        """All runs, the newest first; one whose file is damaged says so itself."""
        with self._lock:
            places = list(self.folder.iterdir()) if self.folder.is_dir() else []
            found = [self._read(place) for place in places if _ID.fullmatch(place.name) and place.is_dir()]
            return sorted(found, key=lambda record: (record.created, record.id), reverse=True)

    def record(self, id: str) -> Record:
        """One run.

        Raises:
            ConfigError: There is none with this id.
        """
        with self._lock:
            return self._read(self.place(id))

    def place(self, id: str) -> Path:
        """The folder of a run.

        Raises:
            ConfigError: There is none with this id.
        """
        place = self.folder / id
        if not _ID.fullmatch(id) or not place.is_dir():
            raise ConfigError("There is no such run", got=repr(id)[:60], remedy="Load the page again.")
        return place

    def config(self, id: str) -> TrainConfig:
        """The options of a run.

        Raises:
            ConfigError: Its file is damaged.
        """
        return load_config(self.place(id) / _CONFIG)

    def remove(self, id: str) -> None:
        """Removes what is kept of a run; files that it wrote elsewhere stay."""
        with self._lock:
            shutil.rmtree(self.place(id), ignore_errors=True)
            self._known.pop(id, None)

    def order(self) -> list[str]:
        """The ids of queued runs, the next one first: as was asked for, the others behind, oldest first."""
        with self._lock:
            queued = [one.id for one in reversed(self.records()) if one.state == "queued"]
            asked: Any = []
            with suppress(OSError, ValueError):
                asked = json.loads((self.folder / _ORDER).read_text(encoding="utf-8"))
            places = {id: number for number, id in enumerate(asked)} if isinstance(asked, list) else {}
            return sorted(queued, key=lambda id: places.get(id, len(queued) + len(places)))

    def set_order(self, ids: Sequence[str]) -> None:
        """Puts queued runs in this order.

        Raises:
            FileError: It cannot be written.
        """
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self.folder / _ORDER, json.dumps(list(ids)).encode())

    def _read(self, place: Path) -> Record:
        path = place / _RECORD
        try:
            facts = path.stat()
            stamp = facts.st_mtime_ns, facts.st_size
            known = self._known.get(place.name)
            if known and known[0] == stamp:
                return known[1]
            record = parse_record(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            return Record(
                id=place.name,
                name=place.name,
                kind="train",
                state="failed",
                created=0.0,
                message=f"What was kept of this run cannot be read ({error}). Discard it.",
            )
        self._known[place.name] = stamp, record
        return record
