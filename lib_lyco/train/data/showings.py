"""How often an epoch shows each image: repeats, turns, and the count of regularisation images."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from lib_lyco.errors import DataError
from lib_lyco.train.data.order import Turn
from lib_lyco.train.data.record import ImageRecord, Subset


@dataclass(frozen=True)
class Showings:
    """The images of one dataset and how often an epoch shows them."""

    records: Sequence[ImageRecord]
    """Training images first, then the regularisation images that are used."""
    repeats: Sequence[int]
    """How often an epoch shows each."""
    turns: Sequence[Turn]
    """Which of them come once more by turns."""
    num_training: int
    """Training images."""
    num_unused: int
    """Regularisation images that are too many to be used."""


def count_showings(subsets: Sequence[Subset], default_repeats: float, start: int) -> Showings:
    """Counts the showings of a dataset's images.

    A training subset of n images shows round(n * repeats) of them, or `samples_per_epoch`: each the same
    number of times, and the rest by turns. Regularisation images fill up to as many showings as the
    training images have, as sd-scripts counts them (`DreamBoothDataset.__init__`): one after the other
    with their own repeats until there are enough, then once more each in turn; what is left over is
    never shown.

    Args:
        subsets: Training and regularisation subsets.
        default_repeats: Of subsets that do not say.
        start: Index of the first image in the run.

    Raises:
        DataError: There are only regularisation images, or their repeats are no whole number.
    """
    records: list[ImageRecord] = []
    repeats: list[int] = []
    turns: list[Turn] = []
    for subset in subsets:
        if subset.options.regularisation:
            continue
        images, shown = len(subset.records), _shown(subset, default_repeats)
        each, rest = divmod(shown, images)
        if rest:
            first = start + len(records)
            turns.append(Turn(range(first, first + images), rest))
        records += subset.records
        repeats += [each] * images
    num_training = len(records)
    target = sum(repeats) + sum(turn.shown for turn in turns)
    if not target:
        raise DataError(
            "There are only regularisation images.",
            where=", ".join(str(subset.path) for subset in subsets),
            expected="images to train on too",
        )
    found = [
        (record, number)
        for subset in subsets
        if subset.options.regularisation
        for number in [_whole_repeats(subset, default_repeats)]
        for record in subset.records
    ]
    counts = registered([number for _, number in found], target)
    records += [record for record, _ in found[: len(counts)]]
    return Showings(records, [*repeats, *counts], turns, num_training, len(found) - len(counts))


def registered(repeats: Sequence[int], target: int) -> list[int]:
    """How often each regularisation image is shown, for at least `target` showings; those at the end
    that are not needed are left out.

    Args:
        repeats: Their own repeats, in order.
        target: Showings of the training images.
    """
    counts: list[int] = []
    shown = 0
    for number in repeats:
        counts.append(number)
        shown += number
        if shown >= target:
            return counts
    for index in itertools.islice(itertools.cycle(range(len(counts))), max(0, target - shown)):
        counts[index] += 1
    return counts


def _shown(subset: Subset, default_repeats: float) -> int:
    if subset.options.samples_per_epoch is not None:
        return subset.options.samples_per_epoch
    return max(1, round(len(subset.records) * _repeats(subset, default_repeats)))


def shown_repeats(subset: Subset, default_repeats: float) -> float:
    """How often an epoch shows each image of a subset, by its options; not a whole number where images
    come by turns."""
    samples = subset.options.samples_per_epoch
    return _repeats(subset, default_repeats) if samples is None else samples / len(subset.records)


def _repeats(subset: Subset, default_repeats: float) -> float:
    return default_repeats if subset.options.repeats is None else subset.options.repeats


def _whole_repeats(subset: Subset, default_repeats: float) -> int:
    repeats = _repeats(subset, default_repeats)
    if repeats != int(repeats):
        raise DataError(
            "Regularisation images cannot be shown a fraction of a time.",
            where=str(subset.path),
            got=f"{repeats} repeats",
            expected="a whole number",
        )
    return int(repeats)
