"""The numbers of a run before it runs: images, buckets, batches, steps, and the sum that leads to them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lib_lyco.train.data.bucket import Bucketing, Placement, Size
from lib_lyco.train.data.order import Order, Pool, Turn
from lib_lyco.train.data.record import ImageRecord, Subset
from lib_lyco.train.data.showings import Showings, count_showings
from lib_lyco.train.notes import bucket_notes, caption_notes, regularisation_note, transparency_notes


@dataclass(frozen=True)
class Dataset:
    """Subsets whose images share buckets and batches."""

    subsets: Sequence[Subset]
    bucketing: Bucketing
    batch_size: int
    default_repeats: float
    """Of subsets that do not say."""
    validation_split: float = 0.0
    """Share of each subset's images that is held out."""
    validation_seed: int = 0
    """Decides which."""


@dataclass(frozen=True)
class DatasetCount:
    """The numbers of one dataset, of its first epoch."""

    dataset: Dataset
    num_images: int
    """Training images."""
    num_samples: int
    """Showings of them."""
    num_reg_images: int
    """Regularisation images that are used."""
    num_reg_samples: int
    num_buckets: int
    num_batches: int

    @property
    def resolution(self) -> Size:
        """Width and height."""
        return self.dataset.bucketing.resolution

    @property
    def batch_size(self) -> int:
        """Images per micro-batch."""
        return self.dataset.batch_size

    def __str__(self) -> str:
        width, height = self.resolution
        parts = f"{self.num_images} images make {self.num_samples} samples"
        if self.num_reg_images:
            parts += (
                f" + {self.num_reg_images} regularisation images make {self.num_reg_samples}"
                f" = {self.num_samples + self.num_reg_samples}"
            )
        return (
            f"{parts}; resolution {width}x{height}, {self.num_buckets} buckets, "
            f"batch size {self.batch_size}: {self.num_batches} batches per epoch"
        )


@dataclass(frozen=True)
class Plan:
    """What a run will do, and the sum that leads to its steps."""

    records: Sequence[ImageRecord]
    placements: Sequence[Placement]
    """One per record."""
    order: Order
    datasets: Sequence[DatasetCount]
    accumulation: int
    epochs: int
    total_steps: int
    epoch_ends: Sequence[int]
    """Steps that are done when an epoch is, of each epoch; the last may be more than `total_steps`."""
    notes: tuple[str, ...]
    """What the user should know before starting."""

    @property
    def samples_per_epoch(self) -> int:
        """Showings of images in the first epoch; with fractions of repeats others differ a little."""
        return sum(self.order.samples(0).values())

    @property
    def steps_per_epoch(self) -> int:
        """Updates in the first epoch, ceil(batches / accumulation); see `samples_per_epoch`."""
        return self.epoch_ends[0]

    def position(self, step: int) -> tuple[int, int]:
        """Epoch, from 0, and steps done in it, when `step` steps of the run are done.

        At the end of an epoch that is the next one and 0.
        """
        epoch = bisect_left(self.epoch_ends, step + 1)
        return epoch, step - (self.epoch_ends[epoch - 1] if epoch else 0)

    def epoch_of(self, step: int) -> int:
        """The epoch of the last step done, from 1; 0 before the first."""
        return self.position(step - 1)[0] + 1 if step else 0

    def ends_epoch(self, step: int) -> bool:
        """Whether an epoch is whole when `step` steps are done."""
        return step > 0 and self.position(step)[1] == 0

    @property
    def buckets(self) -> dict[Size, int]:
        """Samples of each bucket in the first epoch, datasets together."""
        counts: Counter[Size] = Counter()
        for (_, bucket), count in self.order.samples(0).items():
            counts[bucket] += count
        return dict(sorted(counts.items()))

    def __str__(self) -> str:
        lines = [
            f"dataset {number}: {count}" if len(self.datasets) > 1 else str(count)
            for number, count in enumerate(self.datasets, 1)
        ]
        batches = sum(count.num_batches for count in self.datasets)
        lines.append(
            f"{batches} batches, accumulation {self.accumulation}: {self.steps_per_epoch} steps per epoch; "
            f"{self.epochs} epochs: {self.total_steps} steps"
        )
        return "\n".join(lines)


@dataclass(frozen=True)
class Length:
    """How long a run is."""

    epochs: int
    max_steps: int | None
    accumulation: int


def make_plan(datasets: Sequence[Dataset], notes: Iterable[str], seed: int, length: Length) -> Plan:
    """Places every image and counts the steps; `max_steps` overrides `epochs` and cuts the last one.

    Raises:
        DataError: An image fits no bucket, or a dataset has nothing but regularisation images.
    """
    records: list[ImageRecord] = []
    placements: list[Placement] = []
    repeats: list[int] = []
    pools: list[Pool] = []
    turns: list[Turn] = []
    shown: list[Showings] = []
    for dataset in datasets:
        start = len(records)
        showings = count_showings(dataset.subsets, dataset.default_repeats, start)
        shown.append(showings)
        records += showings.records
        placements += dataset.bucketing.placements(
            [record.size for record in showings.records], [record.path.name for record in showings.records]
        )
        repeats += showings.repeats
        turns += showings.turns
        pools.append(Pool(range(start, len(records)), dataset.batch_size))
    buckets = [placement.bucket for placement in placements]
    order = Order(buckets, repeats, pools, seed, turns)
    ends = _epoch_ends(order, length)
    counts = [_count(order, number, *one) for number, one in enumerate(zip(datasets, shown, strict=True))]
    total = length.max_steps or ends[-1]
    return Plan(
        records=records,
        placements=placements,
        order=order,
        datasets=counts,
        accumulation=length.accumulation,
        epochs=len(ends),
        total_steps=total,
        epoch_ends=ends,
        notes=(
            *notes,
            *caption_notes(records),
            *transparency_notes(records),
            *regularisation_note(shown),
            *bucket_notes(order),
        ),
    )


def _epoch_ends(order: Order, length: Length) -> Sequence[int]:
    """Steps done at the end of each epoch, until there are enough."""
    first = -(-order.num_batches(0) // length.accumulation)
    if not order.turns:
        num_epochs = -(-length.max_steps // first) if length.max_steps else length.epochs
        return range(first, first * num_epochs + 1, first)
    ends = [first]
    while (ends[-1] < length.max_steps) if length.max_steps else (len(ends) < length.epochs):
        ends.append(ends[-1] + -(-order.num_batches(len(ends)) // length.accumulation))
    return ends


def _count(order: Order, number: int, dataset: Dataset, showings: Showings) -> DatasetCount:
    samples = [count for (pool, _), count in order.samples(0).items() if pool == number]
    reg_samples = sum(showings.repeats[showings.num_training :])
    return DatasetCount(
        dataset=dataset,
        num_images=showings.num_training,
        num_samples=sum(samples) - reg_samples,
        num_reg_images=len(showings.records) - showings.num_training,
        num_reg_samples=reg_samples,
        num_buckets=len(samples),
        num_batches=sum(-(-count // dataset.batch_size) for count in samples),
    )
