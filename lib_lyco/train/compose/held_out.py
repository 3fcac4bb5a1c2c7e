"""Which images are held out for validation."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from lib_lyco.train.data.record import ImageRecord, Subset
from lib_lyco.train.plan import Dataset
from lib_lyco.train.seed import derived_seed


def held_out(datasets: Sequence[Dataset]) -> list[Dataset]:
    """The part of the datasets that is held out; regularisation images are not."""
    return _parts([dataset for dataset in datasets if dataset.validation_split], held=True)


def kept_in(datasets: Sequence[Dataset]) -> list[Dataset]:
    """The part of the datasets that is trained on."""
    return _parts(datasets, held=False)


def _parts(datasets: Sequence[Dataset], held: bool) -> list[Dataset]:
    found: list[Dataset] = []
    for dataset in datasets:
        share, seed = dataset.validation_split, dataset.validation_seed
        subsets = [
            replace(subset, records=records)
            for subset in dataset.subsets
            if (records := _records(subset, share, seed, held) if share else subset.records)
        ]
        if subsets:
            found.append(replace(dataset, subsets=subsets))
    return found


def _records(subset: Subset, share: float, seed: int, held: bool) -> list[ImageRecord]:
    """A subset's images of one kind, in their order: of equal folders, in any dataset, the same ones."""
    order = list(range(len(subset.records)))
    random.Random(derived_seed("held out", seed, subset.path.name, len(order))).shuffle(order)
    count = 0 if subset.options.regularisation else round(len(order) * share)
    chosen = set(order[:count])
    return [record for index, record in enumerate(subset.records) if (index in chosen) == held]
