"""What a run needs of where it takes place: a base model, its turns on it, and somebody who draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

from lib_lyco.models.base import BaseModel, Hollow
from lib_lyco.naming.layer import Family
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.preview import Draw


@dataclass(frozen=True)
class Base:
    """A base model that may be trained on."""

    name: str
    """What `TrainConfig.base_model` says of it; "" for the one that is loaded."""
    title: str
    """For people."""
    family: Family | None
    """None where it is not known before it is opened."""
    path: Path | None
    """Its file; None where there is none, or it is not known."""
    problem: str = ""
    """Why it cannot be trained on now, as a sentence with what to do; or ""."""
    hollow: Callable[[torch.dtype], Hollow | None] | None = field(default=None, compare=False, repr=False)
    """Makes it without weights, in a precision; None where only its file can tell, or nobody just now."""


@dataclass(frozen=True)
class Memory:
    """Of the device that computes, in bytes."""

    used: int
    total: int


class Place(Protocol):
    """Where one run trains, from its opening to its end."""

    @property
    def model(self) -> BaseModel:
        """The base model, in training's hands during a turn."""
        ...

    @property
    def draw(self) -> Draw | None:
        """Draws sample pictures, within a turn; None where nobody can."""
        ...

    def turn(self) -> AbstractContextManager[None]:
        """Within it model and device are the run's alone: it makes one step, and lets others in again.

        Entering waits until whoever draws a picture has done so, and puts the base model into the state
        that training left it in; leaving puts it into the state that its owner needs.

        Raises:
            Interrupted: The base model has gone, or the run is to end; what is trained can still be saved.
        """
        ...

    def aside(self) -> AbstractContextManager[None]:
        """The opposite, within a turn: others have model and device while the run waits (a pause)."""
        ...


class Provider(Protocol):
    """Where runs take place: in the WebUI on its model, or in this program alone."""

    def bases(self) -> Sequence[Base]:
        """What may be trained on; the first is the default. Loads nothing."""
        ...

    def memory(self) -> Memory | None:
        """What the device has; None where it cannot tell."""
        ...

    def open(self, config: TrainConfig) -> AbstractContextManager[Place]:
        """A place for a run on `config.base_model`; at the end all is as it was before.

        Raises:
            ModelError: There is no such base model, or it cannot be trained on.
        """
        ...


class Interrupted(Exception):
    """A run cannot have its turn any more.

    Args:
        why: A sentence for the user, with what to do.
        final: Whether the run is to be stopped; otherwise it waits until its base model is loaded again.
    """

    def __init__(self, why: str, final: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.final = final


def waiting(base: str, why: str) -> str:
    """What a run without its base model says: what it waits for, why, and what would continue it."""
    return (
        f"Waits for the checkpoint {base}. {why} The run goes on by itself when that checkpoint is loaded "
        "again. Resume loads it."
    )
