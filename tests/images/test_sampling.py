"""Seeded draws, by the properties that they promise."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dseld_cli.images.sampling import balanced, held_out, limited, places, shuffled

labels_ = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(lambda found: np.array(found, dtype=np.int64))
seeds = st.integers(0, 5)


@given(labels_)
def test_places_count_earlier_equals(labels: NDArray[np.int64]) -> None:
    assert places(labels).tolist() == [labels[:i].tolist().count(label) for i, label in enumerate(labels)]


@given(labels_, seeds)
def test_every_prefix_of_a_balanced_order_is_as_balanced_as_class_sizes_allow(
    labels: NDArray[np.int64], seed: int
) -> None:
    order, sizes = balanced(labels, seed), np.bincount(labels, minlength=5)
    assert sorted(order) == list(range(len(labels)))
    for end in range(len(labels) + 1):
        counts = np.bincount(labels[order[:end]], minlength=5)
        unspent = counts < sizes
        assert not unspent.any() or counts.max() <= counts[unspent].min() + 1


def test_a_balanced_order_is_shuffled_within_classes() -> None:
    labels = np.repeat(np.arange(2), 500)
    first = balanced(labels, 0)[:100]
    assert np.ptp(first[labels[first] == 0]) > 400


@given(labels_, seeds, st.sampled_from([0.1, 0.3, 0.5, 0.9]))
def test_held_out_takes_its_share_of_each_class_and_leaves_some(
    labels: NDArray[np.int64], seed: int, share: float
) -> None:
    taken = held_out(labels, share, seed)
    for label in np.unique(labels):
        mine = labels == label
        assert taken[mine].sum() == min(np.round(share * mine.sum()), mine.sum() - 1)


@given(labels_, seeds, st.integers(1, 9))
def test_limited_keeps_at_most_so_many_of_each_class(labels: NDArray[np.int64], seed: int, most: int) -> None:
    kept = limited(labels, most, seed)
    np.testing.assert_array_equal(
        np.bincount(labels[kept], minlength=5), np.bincount(labels, minlength=5).clip(max=most)
    )


def test_seeds_decide() -> None:
    labels = np.repeat(np.arange(3), 50)
    for draw in (balanced, lambda _, seed: shuffled(150, seed), lambda found, seed: held_out(found, 0.3, seed)):
        np.testing.assert_array_equal(draw(labels, 1), draw(labels, 1))
        assert (draw(labels, 1) != draw(labels, 2)).any()
