"""How often an epoch shows each image."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_lyco.errors import DataError
from lib_lyco.train.data.record import ImageRecord, Subset
from lib_lyco.train.data.showings import count_showings, registered
from lib_lyco.train.options.subset import SubsetOptions


def subset(num_images: int, **options: object) -> Subset:
    own = SubsetOptions(**options)  # type: ignore[arg-type]
    records = [
        ImageRecord(Path(f"{number}.png"), (64, 64), "", "none", "x", own) for number in range(num_images)
    ]
    return Subset(Path("x"), own, records)


@pytest.mark.parametrize(
    ("repeats", "target", "counts"),
    [
        # worked by hand after the loop in sd-scripts' DreamBoothDataset
        ([2, 3], 10, [5, 5]),  # 2 + 3, then one more each in turn: 3 4 4 5 5
        ([2, 3], 9, [4, 5]),
        ([1, 1, 1], 2, [1, 1]),  # the third is never shown
        ([4, 4, 4], 6, [4, 4]),  # an image's own repeats are not cut
        ([40], 2560, [2560]),
        ([7], 3, [7]),
    ],
)
def test_regularisation_images_are_registered_as_in_sd_scripts(
    repeats: list[int], target: int, counts: list[int]
) -> None:
    assert registered(repeats, target) == counts


def test_regularisation_makes_as_many_showings_as_training() -> None:
    showings = count_showings(
        [subset(2, repeats=1, regularisation=True), subset(3, repeats=4), subset(1, regularisation=True)],
        default_repeats=10,
        start=0,
    )
    assert [record.subset.regularisation for record in showings.records] == [False] * 3 + [True] * 3
    # training 3 x 4 = 12; regularisation 1 + 1 + 10 = 12
    assert list(showings.repeats) == [4, 4, 4, 1, 1, 10]
    assert (showings.num_training, showings.num_unused) == (3, 0)
    few = count_showings([subset(1, repeats=2), subset(5, repeats=1, regularisation=True)], 10, 0)
    assert list(few.repeats) == [2, 1, 1]
    assert few.num_unused == 3


@pytest.mark.parametrize(
    ("options", "each", "by_turns"),
    [
        ({}, 10, 0),
        ({"repeats": 3.0}, 3, 0),
        ({"repeats": 0.5}, 0, 2),
        ({"repeats": 2.25}, 2, 1),
        ({"repeats": 0.01}, 0, 1),  # never none at all
        ({"samples_per_epoch": 6}, 1, 2),
        ({"samples_per_epoch": 3}, 0, 3),
        ({"samples_per_epoch": 8}, 2, 0),
    ],
)
def test_fractions_and_numbers_of_samples_are_shown_by_turns(
    options: dict[str, object], each: int, by_turns: int
) -> None:
    showings = count_showings([subset(4, **options)], default_repeats=10, start=7)
    assert list(showings.repeats) == [each] * 4
    assert [(turn.images, turn.shown) for turn in showings.turns] == (
        [(range(7, 11), by_turns)] if by_turns else []
    )


def test_what_cannot_be_shown_is_an_error() -> None:
    with pytest.raises(DataError, match="only regularisation"):
        count_showings([subset(2, regularisation=True)], 10, 0)
    with pytest.raises(DataError, match="whole number"):
        count_showings([subset(2), subset(2, regularisation=True, repeats=1.5)], 10, 0)
