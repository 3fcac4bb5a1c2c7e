"""The order of samples: exact coverage, whatever the number of workers."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lyco.train.data.order import Order, Sample

SIZES = ((64, 64), (64, 96), (96, 64))


@given(
    st.lists(st.tuples(st.sampled_from(SIZES), st.integers(1, 5)), min_size=1, max_size=30),
    st.integers(1, 7),
    st.integers(0, 2**63 - 1),
)
def test_epoch_shows_every_image_exactly_its_repeats(
    images: list[tuple[tuple[int, int], int]], batch_size: int, seed: int
) -> None:
    order = Order([size for size, _ in images], [repeats for _, repeats in images], batch_size, seed)
    batches = order.epoch(3)
    shown = Counter(sample.image for batch in batches for sample in batch)
    assert shown == {index: repeats for index, (_, repeats) in enumerate(images)}
    assert len({sample for batch in batches for sample in batch}) == sum(shown.values())
    assert len(batches) == order.num_batches
    for batch in batches:
        assert len(batch) <= batch_size
        assert len({order.buckets[sample.image] for sample in batch}) == 1


def test_number_of_batches_is_the_sum_over_buckets() -> None:
    # by hand: ceil(5 / 2) + ceil(3 / 2)
    order = Order([(64, 64), (64, 64), (96, 64)], [2, 3, 3], 2, seed=0)
    assert order.num_batches == 5


def test_order_depends_on_seed_and_epoch_only() -> None:
    order = Order([(64, 64)] * 40, [1] * 40, 1, seed=5)
    again = Order([(64, 64)] * 40, [1] * 40, 1, seed=5)
    assert order.epoch(1) == again.epoch(1)
    assert [s.image for (s,) in order.epoch(0)] != [s.image for (s,) in order.epoch(1)]
    other = Order([(64, 64)] * 40, [1] * 40, 1, seed=6)
    assert [s.image for (s,) in order.epoch(0)] != [s.image for (s,) in other.epoch(0)]


@pytest.mark.parametrize("other", [Sample(1, 0, 0), Sample(0, 1, 0), Sample(0, 0, 1)])
def test_generator_differs_by_image_epoch_and_repeat(other: Sample) -> None:
    one = Sample(0, 0, 0).generator(3, "noise").initial_seed()
    assert one == Sample(0, 0, 0).generator(3, "noise").initial_seed()
    assert one != other.generator(3, "noise").initial_seed()
    assert one != Sample(0, 0, 0).generator(3, "flip").initial_seed()
