"""The numbers of a run before it runs: images, buckets, batches, steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lib_lyco.train.data.bucket import Bucketing, Placement, Size
from lib_lyco.train.data.order import Order
from lib_lyco.train.data.record import ImageRecord, Scan


@dataclass(frozen=True)
class Plan:
    """What a run will do, and the sum that leads to its steps."""

    records: tuple[ImageRecord, ...]
    placements: tuple[Placement, ...]
    """One per record."""
    order: Order
    accumulation: int
    epochs: int
    total_steps: int
    notes: tuple[str, ...]
    """What the user should know before starting."""

    @property
    def samples_per_epoch(self) -> int:
        """Showings of images in one epoch."""
        return sum(record.repeats for record in self.records)

    @property
    def steps_per_epoch(self) -> int:
        """Updates in one epoch: ceil(batches / accumulation)."""
        return -(-self.order.num_batches // self.accumulation)

    @property
    def buckets(self) -> dict[Size, int]:
        """Samples per epoch of each bucket."""
        counts: Counter[Size] = Counter()
        for record, placement in zip(self.records, self.placements, strict=True):
            counts[placement.bucket] += record.repeats
        return dict(sorted(counts.items()))

    def __str__(self) -> str:
        return (
            f"{len(self.records)} images, {self.samples_per_epoch} with repeats; "
            f"{len(self.buckets)} buckets; "
            f"batch size {self.order.batch_size}: {self.order.num_batches} batches per epoch; "
            f"accumulation {self.accumulation}: {self.steps_per_epoch} steps per epoch; "
            f"{self.epochs} epochs: {self.total_steps} steps"
        )


@dataclass(frozen=True)
class Length:
    """How long a run is."""

    epochs: int
    max_steps: int | None
    accumulation: int


def make_plan(scan: Scan, bucketing: Bucketing, batch_size: int, seed: int, length: Length) -> Plan:
    """Places every image and counts the steps; `max_steps` overrides `epochs` and cuts the last one.

    Raises:
        DataError: An image fits no bucket.
    """
    placements = tuple(bucketing.placements([record.size for record in scan.records]))
    order = Order(
        buckets=[placement.bucket for placement in placements],
        repeats=[record.repeats for record in scan.records],
        batch_size=batch_size,
        seed=seed,
    )
    per_epoch = -(-order.num_batches // length.accumulation)
    total = length.max_steps or length.epochs * per_epoch
    return Plan(
        records=scan.records,
        placements=placements,
        order=order,
        accumulation=length.accumulation,
        epochs=-(-total // per_epoch),
        total_steps=total,
        notes=(*scan.notes, *_bucket_notes(placements, scan.records, batch_size)),
    )


def _bucket_notes(
    placements: Sequence[Placement], records: Sequence[ImageRecord], batch_size: int
) -> list[str]:
    samples: Counter[Size] = Counter()
    for record, placement in zip(records, placements, strict=True):
        samples[placement.bucket] += record.repeats
    small = [
        f"{width}x{height}" for (width, height), count in sorted(samples.items()) if count < batch_size
    ]
    return [f"Buckets that never fill a batch of {batch_size}: {', '.join(small)}."] if small else []
