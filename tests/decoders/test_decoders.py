"""Decoders against their definitions, applied to dense codes in plain numpy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dseld_cli.decoders.base import UNDECIDED, Given, predict, shares
from dseld_cli.decoders.registry import decoder
from dseld_cli.lca.codes import SparseCodes


def sparse(code: np.ndarray) -> SparseCodes:
    image, atom = code.nonzero()
    indptr = np.concatenate([[0], np.cumsum((code != 0).sum(1))])
    return SparseCodes(indptr, atom.astype(np.int32), code[image, atom].astype(np.float32), np.zeros((len(code), 1)))


def scores(name: str, code: np.ndarray, labels: np.ndarray, n_classes: int) -> np.ndarray:
    return decoder(name).scores(sparse(code), Given(labels, n_classes))


@given(seed=st.integers(0, 2**20), n=st.integers(1, 5), m=st.integers(1, 30), classes=st.integers(1, 6))
def test_scores_are_those_of_the_definitions(seed: int, n: int, m: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    code = (rng.standard_normal((n, m)) * (rng.random((n, m)) < 0.3)).astype(np.float32)
    labels = rng.integers(0, classes, m)
    of_class = [code[:, labels == c] for c in range(classes)]
    sums = np.stack([a.sum(1) for a in of_class], 1)
    strongest = np.stack([np.max(a, axis=1, initial=0) for a in of_class], 1)
    np.testing.assert_allclose(scores("class-sum", code, labels, classes), sums, atol=1e-5)
    np.testing.assert_allclose(scores("max-activation", code, labels, classes), strongest)


def test_decoders_differ_where_many_weak_neurons_outweigh_a_strong_one() -> None:
    code, labels = np.array([[5.0, 3, 3, 0]]), np.array([0, 1, 1, 2])
    assert predict(scores("max-activation", code, labels, 3)).tolist() == [0]
    assert predict(scores("class-sum", code, labels, 3)).tolist() == [1]


def test_an_image_for_which_no_class_speaks_is_undecided() -> None:
    code, labels = np.array([[0.0, 0], [-1, -2], [0, 1]]), np.array([0, 1])
    for name in ("max-activation", "class-sum", "balanced-class-sum"):
        assert predict(scores(name, code, labels, 3)).tolist() == [UNDECIDED, UNDECIDED, 1]


def test_shares_sum_to_one_and_keep_the_order() -> None:
    scores = np.array([[3.0, 1, -2], [0, 0, -1]], np.float32)
    np.testing.assert_allclose(shares(scores), [[0.75, 0.25, 0], [0, 0, 0]])
    assert predict(shares(scores)).tolist() == [0, UNDECIDED]


def test_balanced_class_sum_lets_a_class_of_few_exemplars_win() -> None:
    code, labels = np.array([[2.0, 1, 1, 1]]), np.array([0, 1, 1, 1])
    assert predict(scores("class-sum", code, labels, 2)).tolist() == [1]
    balanced = scores("balanced-class-sum", code, labels, 3)
    np.testing.assert_allclose(balanced, [[2, 3 / 3**0.5, 0]], rtol=1e-6)
    assert predict(balanced).tolist() == [0]
