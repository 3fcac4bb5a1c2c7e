"""The order of samples: exact coverage, whatever the number of workers."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lyco.train.data.order import Order, Pool, Sample, Turn

SIZES = ((64, 64), (64, 96), (96, 64))


def one_pool(buckets: list[tuple[int, int]], repeats: list[int], batch_size: int, seed: int) -> Order:
    return Order(buckets, repeats, [Pool(range(len(buckets)), batch_size)], seed)


@given(
    st.lists(st.tuples(st.sampled_from(SIZES), st.integers(1, 5)), min_size=1, max_size=30),
    st.integers(1, 7),
    st.integers(0, 2**63 - 1),
)
def test_epoch_shows_every_image_exactly_its_repeats(
    images: list[tuple[tuple[int, int], int]], batch_size: int, seed: int
) -> None:
    order = one_pool([size for size, _ in images], [repeats for _, repeats in images], batch_size, seed)
    batches = order.epoch(3)
    shown = Counter(sample.image for batch in batches for sample in batch)
    assert shown == {index: repeats for index, (_, repeats) in enumerate(images)}
    assert len({sample for batch in batches for sample in batch}) == sum(shown.values())
    assert len(batches) == order.num_batches(3)
    for batch in batches:
        assert len(batch) <= batch_size
        assert len({order.buckets[sample.image] for sample in batch}) == 1


def test_number_of_batches_is_the_sum_over_buckets() -> None:
    # by hand: ceil(5 / 2) + ceil(3 / 2)
    order = one_pool([(64, 64), (64, 64), (96, 64)], [2, 3, 3], 2, seed=0)
    assert order.num_batches(0) == 5


def test_order_depends_on_seed_and_epoch_only() -> None:
    order = one_pool([(64, 64)] * 40, [1] * 40, 1, seed=5)
    again = one_pool([(64, 64)] * 40, [1] * 40, 1, seed=5)
    assert list(order.epoch(1)) == list(again.epoch(1))
    assert [s.image for (s,) in order.epoch(0)] != [s.image for (s,) in order.epoch(1)]
    other = one_pool([(64, 64)] * 40, [1] * 40, 1, seed=6)
    assert [s.image for (s,) in order.epoch(0)] != [s.image for (s,) in other.epoch(0)]


@pytest.mark.parametrize("other", [Sample(1, 0, 0), Sample(0, 1, 0), Sample(0, 0, 1)])
def test_generator_differs_by_image_epoch_and_repeat(other: Sample) -> None:
    one = Sample(0, 0, 0).generator(3, "noise").initial_seed()
    assert one == Sample(0, 0, 0).generator(3, "noise").initial_seed()
    assert one != other.generator(3, "noise").initial_seed()
    assert one != Sample(0, 0, 0).generator(3, "flip").initial_seed()


def test_a_slice_of_batches_is_the_rest_of_them() -> None:
    order = one_pool([(64, 64)] * 5 + [(96, 64)] * 4, [2] * 9, 4, seed=1)
    batches = order.epoch(2)
    assert list(batches[2:]) == list(batches)[2:]
    assert batches[-1] == list(batches)[-1]


def test_datasets_keep_their_batches_apart() -> None:
    # two datasets with images of one size: 5 by 2 are 3 batches, 7 by 4 are 2
    order = Order([(64, 64)] * 12, [1] * 12, [Pool(range(5), 2), Pool(range(5, 12), 4)], seed=3)
    assert order.num_batches(0) == 5
    batches = order.epoch(0)
    first = [[sample.image for sample in batch] for batch in batches if batch[0].image < 5]
    second = [[sample.image for sample in batch] for batch in batches if batch[0].image >= 5]
    assert sorted(map(len, first)) == [1, 2, 2] and sorted(map(len, second)) == [3, 4]
    assert sorted(sum(first, [])) == list(range(5)) and sorted(sum(second, [])) == list(range(5, 12))
    order_of_pools = [batch[0].image < 5 for epoch in range(4) for batch in order.epoch(epoch)]
    assert order_of_pools != sorted(order_of_pools), "batches of all datasets are mixed"


@given(st.integers(2, 12), st.integers(1, 11), st.integers(0, 9), st.integers(0, 2**63 - 1))
def test_images_that_come_by_turns_are_shown_equally_often(
    num_images: int, shown: int, num_epochs: int, seed: int
) -> None:
    shown = min(shown, num_images - 1)
    order = Order(
        [(64, 64)] * num_images,
        [1] * num_images,
        [Pool(range(num_images), 3)],
        seed,
        [Turn(range(num_images), shown)],
    )
    total: Counter[int] = Counter()
    for epoch in range(num_epochs):
        counts = Counter(sample.image for batch in order.epoch(epoch) for sample in batch)
        assert sum(counts.values()) == num_images + shown
        assert set(counts.values()) <= {1, 2}
        assert len(order.epoch(epoch)) == order.num_batches(epoch)
        total += counts
    if num_epochs:
        assert max(total.values()) - min(total.values()) <= 1
