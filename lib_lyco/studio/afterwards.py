"""What stands beside a trained network, so that its card is complete: words, weight, description, cover."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lib_lyco.catalog.scan import IMAGE_SUFFIXES
from lib_lyco.catalog.side import FIELDS, read_notes, write_notes, write_preview
from lib_lyco.catalog.triggers import trigger_sets
from lib_lyco.errors import FileError, one_line
from lib_lyco.files.header import read_metadata
from lib_lyco.studio.history import History
from lib_lyco.studio.live_run import LiveRun
from lib_lyco.studio.states import PACE, clear_states, wants_states
from lib_lyco.train.config import TrainConfig

_STRENGTH = 1.0
"""At which a network is trained."""


@dataclass(frozen=True)
class Beside:
    """What is written beside a network."""

    words: str
    """Activation text; "" for none."""
    weight: float
    """Preferred weight."""
    description: str
    cover: Path | None
    """A picture drawn with it."""


def complete_run(run: LiveRun, config: TrainConfig) -> None:
    """Completes the card of a run's last file, and removes the states of a run that is whole.

    What cannot be written is told, and spoils no run.
    """
    if run.record.path is None:
        return
    if not run.stopped and not wants_states(config):
        clear_states(config, run.record.started or 0.0, run.folder.parent.parent / PACE)
    try:
        complete_card(Path(run.record.path), config, run.history)
    except FileError as error:
        run.say("warning", one_line(error))


def complete_card(network: Path, config: TrainConfig, history: History) -> None:
    """Writes beside a network what the run knows of it; what is there already stays.

    Raises:
        FileError: It cannot be written, or notes that are there cannot be read.
    """
    beside = Beside(
        words=trigger_words(config, read_metadata(network)),
        weight=_STRENGTH,
        description=description(config, history),
        cover=last_sample(history),
    )
    notes = read_notes(network)
    write_beside(network, beside, keep=frozenset(name for name, value in notes.items() if value))


def write_beside(network: Path, beside: Beside, keep: frozenset[str] = frozenset()) -> None:
    """Writes notes and cover.

    Args:
        network: The file.
        beside: What to write; nothing takes the place of something.
        keep: Fields of the notes, by the builtin's names, that stay as they are; where there are any a
            picture that is there stays, too.

    Raises:
        FileError: It cannot be written, or notes that are there cannot be read.
    """
    values = {
        FIELDS["activation_text"]: beside.words,
        FIELDS["preferred_weight"]: beside.weight,
        FIELDS["description"]: beside.description,
    }
    write_notes(network, {name: value for name, value in values.items() if value and name not in keep})
    if beside.cover and not (keep and _covers(network)):
        try:
            data = beside.cover.read_bytes()
        except OSError as error:
            raise FileError("The cover cannot be read", where=str(beside.cover), got=str(error)) from error
        write_preview(network, data, beside.cover.suffix)


def trigger_words(config: TrainConfig, metadata: Mapping[str, str]) -> str:
    """What makes the network act: the words in front of all captions, else the first that most share."""
    prefix, class_tokens = (text.strip(" ,") for text in (config.caption_prefix, config.class_tokens))
    shared = [word for one in trigger_sets(metadata) for word in one.words]
    first = class_tokens.split(",")[0].strip().lower()
    if class_tokens and (not shared or first in shared):  # where folders are named, captions are not these
        return prefix or class_tokens
    return prefix or next(iter(shared), "")


def description(config: TrainConfig, history: History) -> str:
    """What the user says of the network, else how it was trained."""
    if config.metadata_description:
        return config.metadata_description
    steps = max((int(line["step"]) for line in history.saved), default=0)
    return f"{config.algo} of rank {config.rank}, trained for {steps} steps."


def last_sample(history: History) -> Path | None:
    """The first picture that was drawn last with the network, if there is one."""
    drawn = [(line["step"], Path(line["path"])) for line in history.samples if line["with_network"]]
    there = [(step, path) for step, path in drawn if path.suffix in IMAGE_SUFFIXES and path.is_file()]
    newest = max((step for step, _ in there), default=0)
    return next((path for step, path in there if step == newest), None)


def _covers(network: Path) -> list[str]:
    stem = os.path.splitext(network)[0]
    return [suffix for suffix in IMAGE_SUFFIXES if os.path.exists(stem + suffix)]
