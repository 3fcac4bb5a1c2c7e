"""What is told before a run. Everything here is plain data: `dataclasses.asdict` makes JSON of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lib_lyco.naming.layer import Component, Family
from lib_lyco.train.data.bucket import Size
from lib_lyco.train.data.record import CaptionSource

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Remark:
    """Something the user should know before starting."""

    severity: Severity
    """An error keeps the run from starting."""
    option: str
    """The field it is about."""
    text: str


@dataclass(frozen=True)
class ImageLine:
    """One image."""

    path: str
    dataset: int
    """From 1."""
    size: Size
    bucket: Size
    crop: Size
    """Pixels that are cut off after resizing, both sides together."""
    repeats: float
    """Showings in an epoch; a fraction where images are shown by turns."""
    caption_source: CaptionSource
    caption: str
    regularisation: bool
    transparent: bool


@dataclass(frozen=True)
class BucketLine:
    """One bucket of one dataset, in the first epoch."""

    dataset: int
    size: Size
    images: int
    samples: int
    batches: int
    smallest_batch: int


@dataclass(frozen=True)
class DataForecast:
    """Images, and the steps that they make."""

    images: Sequence[ImageLine]
    buckets: Sequence[BucketLine]
    batches_per_epoch: int
    accumulation: int
    steps_per_epoch: int
    epochs: int
    total_steps: int
    sum: str
    """How the steps come about."""


@dataclass(frozen=True)
class GroupLine:
    """Parameters that share a learning rate."""

    name: str
    parameters: int
    learning_rate: float
    """Before the schedule."""
    until: int | None
    """The step from which on they are frozen."""
    curve: Sequence[tuple[int, float]]
    """(step from 0, learning rate) at some steps, the first and the last among them."""


@dataclass(frozen=True)
class BlockLine:
    """The adapters of one block."""

    component: Component
    block: str
    """IN00 .. OUT11; BASE for a text encoder."""
    adapters: int
    parameters: int
    """Trained."""
    bytes: int
    """In the file."""


@dataclass(frozen=True)
class FileForecast:
    """The file that is saved, in bytes."""

    tensors: int
    index: int
    """Names, shapes and places of the tensors; metadata come to it."""


@dataclass(frozen=True)
class NetworkForecast:
    """What is trained on which base model."""

    base: str
    family: Family
    precision: str
    blocks: Sequence[BlockLine]
    file: FileForecast
    groups: Sequence[GroupLine]
    steps_by_itself: bool
    """Whether the optimiser finds its step size itself: rates are then multiples of that."""


@dataclass(frozen=True)
class MemoryForecast:
    """Memory that tensors hold on the device at the peak of a step, in bytes.

    What an allocator keeps ready comes to it. On the CPU that is much where blocks are computed twice: a
    process's heap has holes between what stays (the embedded model at 256x256, batch 4, with gradient
    checkpointing: 80 MB of tensors, 190 MB of heap).
    """

    weights: int
    """Of the base model."""
    adapters: int
    """Trained weights, an average of them, and their gradients."""
    optimiser: int | None
    """Its state; None if unknown."""
    activations: int
    """What a forward pass keeps for its backward pass, in the largest batch."""
    batch: str
    """Which batch that is."""

    @property
    def total(self) -> int:
        """All that is known."""
        return self.weights + self.adapters + (self.optimiser or 0) + self.activations


@dataclass(frozen=True)
class TimeForecast:
    """How long it takes, by an earlier run."""

    seconds_per_step: float | None
    """None if no run on record is comparable."""
    seconds: float | None
    """All steps."""
    record: str
    """The run that this is taken from."""


@dataclass(frozen=True)
class Forecast:
    """What a run will be. A part that cannot be told is None, and a remark says why."""

    data: DataForecast | None
    network: NetworkForecast | None
    memory: MemoryForecast | None
    time: TimeForecast | None
    remarks: Sequence[Remark]

    @property
    def possible(self) -> bool:
        """Whether the run can start."""
        return all(remark.severity != "error" for remark in self.remarks)
