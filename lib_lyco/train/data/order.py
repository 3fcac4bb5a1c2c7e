"""The order in which an epoch shows its samples: a function of seed and epoch, nothing else.

The order is fixed before any image is read, so the number of workers cannot change it: every image
appears exactly as often as planned.
"""

from __future__ import annotations

import random
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

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
class Pool:
    """Images that may share batches: those of one dataset."""

    images: range
    batch_size: int


@dataclass(frozen=True)
class Turn:
    """Images of which each epoch shows some once more: the next ones of a round through all."""

    images: range
    shown: int
    """Fewer than there are images."""

    def chosen(self, seed: int, epoch: int) -> list[int]:
        """Those of one epoch; after any number of epochs no image was shown twice more than another."""
        round_trip = list(self.images)
        random.Random(derived_seed("turn", seed, self.images.start)).shuffle(round_trip)
        first = epoch * self.shown
        return [round_trip[place % len(round_trip)] for place in range(first, first + self.shown)]


class Batches(Sequence[tuple[Sample, ...]]):
    """The batches of an epoch; samples are made when they are asked for, since there may be millions.

    Args:
        epoch: From 0.
        showings: image * `stride` + repeat of each sample.
        batches: first showing * `stride` + number of showings of each batch.
        stride: More than any number of repeats and any batch size.
    """

    def __init__(self, epoch: int, showings: array[int], batches: array[int], stride: int) -> None:
        self._epoch = epoch
        self._showings = showings
        self._batches = batches
        self._stride = stride

    def __len__(self) -> int:
        return len(self._batches)

    @overload
    def __getitem__(self, index: int) -> tuple[Sample, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> Batches: ...
    def __getitem__(self, index: int | slice) -> tuple[Sample, ...] | Batches:
        if isinstance(index, slice):
            return Batches(self._epoch, self._showings, self._batches[index], self._stride)
        first, count = divmod(self._batches[index], self._stride)
        showings = (divmod(showing, self._stride) for showing in self._showings[first : first + count])
        return tuple(Sample(image, self._epoch, repeat) for image, repeat in showings)


@dataclass(frozen=True)
class Order:
    """What decides the order of every epoch."""

    buckets: Sequence[Size]
    """The bucket of each image."""
    repeats: Sequence[int]
    """How often an epoch shows each image, turns apart."""
    pools: Sequence[Pool]
    """The datasets, in the order of their images."""
    seed: int
    turns: Sequence[Turn] = ()

    @cached_property
    def _fixed(self) -> Mapping[tuple[int, Size], int]:
        counts: Counter[tuple[int, Size]] = Counter()
        for number, pool in enumerate(self.pools):
            for image in pool.images:
                counts[number, self.buckets[image]] += self.repeats[image]
        return counts

    def samples(self, epoch: int) -> dict[tuple[int, Size], int]:
        """Samples of each bucket of each pool in one epoch."""
        counts = Counter(self._fixed)
        for image in self._extra(epoch):
            pool = next(number for number, pool in enumerate(self.pools) if image in pool.images)
            counts[pool, self.buckets[image]] += 1
        return {key: count for key, count in sorted(counts.items()) if count}

    def num_batches(self, epoch: int) -> int:
        """Batches of one epoch: sum over the buckets of ceil(samples / batch size)."""
        sizes = [pool.batch_size for pool in self.pools]
        return sum(-(-count // sizes[pool]) for (pool, _), count in self.samples(epoch).items())

    def epoch(self, epoch: int) -> Batches:
        """The batches of one epoch: each from one bucket, the last of a bucket may be smaller."""
        chance = random.Random(derived_seed("order", self.seed, epoch))
        extra = Counter(self._extra(epoch))
        stride = 2 + max(*self.repeats, *(pool.batch_size for pool in self.pools))
        ordered, batches = array("q"), array("q")
        for pool in self.pools:
            showings: dict[Size, array[int]] = {}
            for image in pool.images:
                first, count = image * stride, self.repeats[image] + extra[image]
                showings.setdefault(self.buckets[image], array("q")).extend(range(first, first + count))
            for bucket in sorted(showings):
                shown, start = showings[bucket], len(ordered)
                chance.shuffle(shown)
                ordered.extend(shown)
                for first in range(0, len(shown), pool.batch_size):
                    batches.append((start + first) * stride + min(pool.batch_size, len(shown) - first))
        chance.shuffle(batches)
        return Batches(epoch, ordered, batches, stride)

    def _extra(self, epoch: int) -> Iterable[int]:
        return (image for turn in self.turns for image in turn.chosen(self.seed, epoch))
