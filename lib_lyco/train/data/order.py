"""The order in which an epoch shows its samples: a function of seed and epoch, nothing else.

The order is fixed before any image is read, so the number of workers cannot change it: every image
appears exactly `repeats` times per epoch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lib_lyco.train.data.bucket import Size
from lib_lyco.train.seed import derived_generator, derived_seed


@dataclass(frozen=True)
class Sample:
    """One showing of one image."""

    image: int
    """Index of its record."""
    epoch: int
    """From 0."""
    repeat: int
    """Which of the image's showings in this epoch, from 0."""

    def generator(self, seed: int, purpose: str) -> torch.Generator:
        """The generator of this showing for one purpose (`noise`, `crop`, `flip`)."""
        return derived_generator(purpose, seed, self.epoch, self.image, self.repeat)


@dataclass(frozen=True)
class Order:
    """What decides the order of every epoch."""

    buckets: Sequence[Size]
    """The bucket of each image."""
    repeats: Sequence[int]
    """How often an epoch shows each image."""
    batch_size: int
    seed: int

    @property
    def num_batches(self) -> int:
        """Batches per epoch: sum over the buckets of ceil(samples / batch size)."""
        counts: dict[Size, int] = {}
        for bucket, repeats in zip(self.buckets, self.repeats, strict=True):
            counts[bucket] = counts.get(bucket, 0) + repeats
        return sum(-(-count // self.batch_size) for count in counts.values())

    def epoch(self, epoch: int) -> list[tuple[Sample, ...]]:
        """The batches of one epoch: each from one bucket, the last of a bucket may be smaller."""
        chance = random.Random(derived_seed("order", self.seed, epoch))
        samples: dict[Size, list[Sample]] = {}
        for image, (bucket, repeats) in enumerate(zip(self.buckets, self.repeats, strict=True)):
            samples.setdefault(bucket, []).extend(Sample(image, epoch, repeat) for repeat in range(repeats))
        batches: list[tuple[Sample, ...]] = []
        for bucket in sorted(samples):
            shown = samples[bucket]
            chance.shuffle(shown)
            size = self.batch_size
            batches += [tuple(shown[start : start + size]) for start in range(0, len(shown), size)]
        chance.shuffle(batches)
        return batches
