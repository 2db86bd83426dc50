"""Facility location against the greedy algorithm written out, cases worked by hand, and scikit-learn's clusters."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from dseld_cli.dictionary import representative as module
from dseld_cli.dictionary.representative import by_gain, representative


def unit(rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


def greedy(similar: np.ndarray) -> list[int]:
    """The definition: each next one maximises the sum over all of the similarity with the most similar one chosen."""
    chosen: list[int] = []
    while len(chosen) < len(similar):
        left = [i for i in range(len(similar)) if i not in chosen]
        chosen.append(max(left, key=lambda i: similar[[*chosen, i]].max(axis=0).sum(dtype=np.float64)))
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_looking_only_at_what_may_win_gives_what_looking_at_all_does(seed: int) -> None:
    rows = unit(np.random.default_rng(seed).normal(size=(40, 6)))
    similar = np.maximum(rows @ rows.T, 0)
    order = by_gain(similar).tolist()
    sums = [similar[order[: k + 1]].max(axis=0).sum(dtype=np.float64) for k in range(40)]
    wanted = greedy(similar)
    best = [similar[wanted[: k + 1]].max(axis=0).sum(dtype=np.float64) for k in range(40)]
    np.testing.assert_allclose(sums, best, rtol=1e-6)
    assert sorted(order) == list(range(40))


def test_each_cluster_has_its_middle_first() -> None:
    cluster = np.array([[1, 0.9, 0.6], [0.9, 1, 0.9], [0.6, 0.9, 1]], np.float32)
    assert set(by_gain(np.kron(np.eye(3, dtype=np.float32), cluster))[:3]) == {1, 4, 7}


def test_equal_images_come_last() -> None:
    rows = unit(np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1.0]]))
    assert set(by_gain(rows @ rows.T)[:2]) in ({0, 3}, {0, 4}, {1, 3}, {1, 4}, {2, 3}, {2, 4})


@pytest.mark.parametrize("group", [8192, 10])
def test_classes_take_turns_however_they_are_cut(group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUP", group)
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 1, 2], [40, 25, 7]))
    rows = unit(rng.normal(size=(72, 5)))
    order = representative(rows.__getitem__, labels, 0, 30)
    assert sorted(order) == list(range(72))
    for k in range(7):
        assert np.bincount(labels[order[3 * k : 3 * k + 3]], minlength=3).tolist() == [1, 1, 1]
    np.testing.assert_array_equal(order, representative(rows.__getitem__, labels, 0, 1000))


def test_neighbours_among_them_are_right_more_often_than_among_as_many_at_random() -> None:
    digits = load_digits()
    rows, labels = unit(digits.data), digits.target
    taught, asked = slice(0, 1200), slice(1200, None)
    order = representative(rows[taught].__getitem__, labels[taught], 0, 10_000)

    def right(chosen: np.ndarray) -> float:
        found = KNeighborsClassifier(1).fit(rows[taught][chosen], labels[taught][chosen])
        return float(found.score(rows[asked], labels[asked]))

    at_random = [right(np.random.default_rng(seed).permutation(1200)[:100]) for seed in range(10)]
    assert right(order[:100]) > max(at_random)
