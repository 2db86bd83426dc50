"""A dictionary in memory grows by what is appended, and is what one made at once would be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dseld_cli.dictionary.exemplars import Exemplars
from dseld_cli.errors import UserError

CLASSES = ("cat", "ant", "bee")


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(0, 99))
def test_any_order_of_growing_gives_the_same_bits(counts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    features, labels = rng.normal(size=(sum(counts), 5)).astype(np.float32), rng.integers(0, 3, sum(counts))
    grown = Exemplars.of(features[:0], labels[:0], CLASSES)
    for stop, count in zip(np.cumsum(counts), counts, strict=True):
        part = slice(stop - count, stop)
        grown = grown.appended(features[part], labels[part], CLASSES)
    at_once = Exemplars.of(features, labels, CLASSES)
    np.testing.assert_array_equal(grown.atoms, at_once.atoms)
    np.testing.assert_array_equal(grown.labels, labels)
    exact = features.astype(np.float64)
    np.testing.assert_allclose(grown.atoms, exact / np.linalg.norm(exact, axis=1, keepdims=True), rtol=1e-6)


def test_old_classes_keep_their_places_and_new_ones_follow() -> None:
    one = np.ones((2, 3), np.float32)
    base = Exemplars.of(one, np.array([0, 2]), CLASSES)
    grown = base.appended(one, np.array([0, 1]), ("dog", "bee"))
    assert grown.classes == ("cat", "ant", "bee", "dog")
    assert grown.labels.tolist() == [0, 2, 3, 2]


def test_a_version_stays_what_it_was_while_two_others_grow_from_it() -> None:
    rows = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    label = np.zeros(3, np.int64)
    base = Exemplars.of(rows[:3], label, CLASSES)
    room = base.appended(rows[3:6], label, CLASSES)
    before = room.atoms.copy()
    left, right = (room.appended(part, label, CLASSES) for part in (rows[6:], -rows[6:]))
    np.testing.assert_array_equal(left.atoms[6:], -right.atoms[6:])
    for version in (room.atoms, left.atoms[:6], right.atoms[:6]):
        np.testing.assert_array_equal(version, before)
    assert len(base) == 3


def test_few_are_appended_without_copying_the_others() -> None:
    base = Exemplars.of(np.ones((100, 4), np.float32), np.zeros(100, np.int64), CLASSES)
    grown = [base := base.appended(np.ones((1, 4), np.float32), np.array([1]), CLASSES) for _ in range(50)]
    assert len({version.atoms.__array_interface__["data"][0] for version in grown}) == 1


def test_a_row_of_zeros_becomes_a_tombstone() -> None:
    made = Exemplars.of(np.array([[3, 4], [0, 0]], np.float32), np.zeros(2, np.int64), CLASSES)
    np.testing.assert_allclose(made.atoms, [[0.6, 0.8], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_cannot_be_an_atom_is_refused(bad: float) -> None:
    with pytest.raises(UserError, match="row 1 has features that are all zero or not finite"):
        Exemplars.of(np.array([[1, 1], [bad, bad]], np.float32), np.zeros(2, np.int64), CLASSES)
