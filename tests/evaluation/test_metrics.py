"""Metrics against scikit-learn, published figures and cases worked by hand."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, top_k_accuracy_score

from dseld_cli.decoders.base import UNDECIDED, predict
from dseld_cli.evaluation import metrics


def tally(predicted: np.ndarray, scores: np.ndarray, truth: np.ndarray) -> metrics.Tally:
    top5 = metrics.among_highest(scores, truth, 5)
    return metrics.Tally.of(predicted, truth, scores.shape[1], top5, scores.max(axis=1))


def test_wilsons_interval_is_the_published_one() -> None:
    """81 of 263: Newcombe (1998), Table I, method 3."""
    assert metrics.interval(81, 263) == (25.53, 36.62)
    assert metrics.interval(0, 10)[0] == 0


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_agrees_with_scikit_learn(k: int) -> None:
    rng = np.random.default_rng(0)
    scores, truth = rng.random((200, 7)).astype(np.float32), rng.integers(0, 7, 200)
    assert metrics.among_highest(scores, truth, k).mean() == top_k_accuracy_score(truth, scores, k=k)


def test_a_class_without_a_score_is_in_no_top_five() -> None:
    scores = np.array([[0.5, 0.5, 0], [0, 0, 0]], np.float32)
    assert metrics.among_highest(scores, np.array([1, 1]), 5).tolist() == [True, False]
    assert metrics.among_highest(scores, np.array([2, -1]), 5).tolist() == [False, False]


def test_confusion_agrees_with_scikit_learn_and_keeps_the_undecided_apart() -> None:
    rng = np.random.default_rng(0)
    predicted, truth = rng.integers(-1, 4, 100), rng.integers(0, 4, 100)
    counted = metrics.Confusion.of(predicted, truth, 4)
    assert counted.images.sum() == 100
    found = counted.matrix(most=4)
    np.testing.assert_array_equal(found[:, :4], confusion_matrix(truth, predicted, labels=range(4)))
    assert found[:, 4].sum() == (predicted == UNDECIDED).sum()


def test_neighbouring_classes_are_taken_together_where_they_are_more_than_can_be_drawn() -> None:
    """As many images, and each in the cell that its classes fall in: of 7 classes in 4 cells, two by two."""
    rng = np.random.default_rng(3)
    predicted, truth = rng.integers(-1, 7, 200), rng.integers(-1, 7, 200)
    counted = metrics.Confusion.of(predicted, truth, 7)
    whole, pooled = counted.matrix(7), counted.matrix(4)
    assert (whole.shape, pooled.shape) == ((7, 8), (4, 5))
    np.testing.assert_array_equal(pooled[:, -1], np.add.reduceat(whole[:, -1], [0, 2, 4, 6]))
    together = np.add.reduceat(np.add.reduceat(whole[:, :-1], [0, 2, 4, 6], axis=0), [0, 2, 4, 6], axis=1)
    np.testing.assert_array_equal(pooled[:, :-1], together)


def test_summary_of_a_case_worked_by_hand() -> None:
    scores = np.array([[0.9, 0.1, 0], [0.4, 0.6, 0], [0.2, 0.7, 0.1], [0, 0, 0]], np.float32)
    found = tally(predict(scores), scores, np.array([0, 0, 1, 2])).summary()
    assert (found["top1"], found["top5"], found["undecided"]) == (50.0, 75.0, 1)
    assert found["macro_f1"] == pytest.approx(100 * (2 / 3 + 2 / 3 + 0) / 3, abs=0.01)
    assert found["low"] < 50 < found["high"]


def test_a_class_that_the_dictionary_lacks_counts_as_wrong() -> None:
    scores = np.array([[1, 0], [1, 0]], np.float32)
    found = tally(np.array([0, 0]), scores, np.array([0, -1])).summary()
    assert (found["top1"], found["top5"]) == (50.0, 50.0)


def test_macro_f1_and_accuracy_by_class_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    predicted, truth = rng.integers(-1, 5, 300), rng.integers(0, 4, 300)  # no image is of class 4
    found = tally(predicted, np.zeros((300, 5), np.float32), truth)
    by_hand = f1_score(truth, predicted, labels=np.unique(truth), average="macro")
    assert found.macro_f1() == pytest.approx(100 * by_hand, abs=0.005)
    recall = {name: 100 * (predicted[truth == c] == c).mean() for c, name in enumerate("abcd")}
    assert found.per_class_accuracy(list("abcde")) == pytest.approx(recall, abs=0.005)
