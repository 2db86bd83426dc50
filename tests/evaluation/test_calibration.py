"""Calibration against scikit-learn, cases worked by hand, and what the theory promises of exchangeable images."""

import math

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from dseld_cli.decoders.base import Given
from dseld_cli.evaluation import metrics
from dseld_cli.evaluation.baselines import cosine_to_nearest
from dseld_cli.evaluation.calibration import (
    Calibration,
    auroc,
    fitted_beta,
    likeness,
    nonconformity,
    p_values,
    prediction_sets,
    probabilities,
    threshold,
)
from dseld_cli.evaluation.exemplars import TiledExemplars
from dseld_cli.lca.atoms import Atoms
from tests.decoders.test_decoders import sparse

SHARES = np.array([[0.7, 0.2, 0.1], [0, 0, 0], [0.5, 0.5, 0]], np.float32)


def drawn(n: int, seed: int, n_classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Shares that are right about three times in four, and true classes."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n_classes, n)
    scores = rng.exponential(1, (n, n_classes))
    scores[np.arange(n), truth] += rng.exponential(4, n)
    return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32), truth


def test_beta_is_the_one_of_least_log_loss() -> None:
    shares, truth = drawn(2000, 0)
    beta = fitted_beta(shares, truth)

    def loss(beta: float) -> float:
        return float(log_loss(truth, probabilities(shares, beta), labels=range(10)))

    assert all(loss(beta) < loss(beta * other) for other in (0.5, 0.9, 1.1, 2))
    np.testing.assert_allclose(probabilities(shares, beta).sum(axis=1), 1)
    assert (probabilities(shares, beta).argmax(axis=1) == shares.argmax(axis=1)).all()


def test_all_images_right_is_no_certainty() -> None:
    shares = np.tile(np.array([0.9, 0.1], np.float32), (50, 1))
    chance = probabilities(shares[:1], fitted_beta(shares, np.zeros(50, np.int64)))[0, 0]
    assert chance == pytest.approx(51 / 52, abs=1e-4), "Laplace's rule of succession"


def test_probabilities_are_calibrated_where_shares_are_not() -> None:
    shares, truth = drawn(4000, 0)
    beta = fitted_beta(shares, truth)
    others, true = drawn(4000, 1)
    right = others.argmax(axis=1) == true
    as_they_are = metrics.calibration_error(others.max(axis=1), right)
    assert metrics.calibration_error(probabilities(others, beta).max(axis=1), right) < as_they_are / 3


def test_an_image_of_which_nothing_is_said_may_be_anything() -> None:
    np.testing.assert_allclose(probabilities(SHARES, 20)[1], 1 / 3)


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_sets_hold_the_true_class_as_often_as_was_asked_for(coverage: float) -> None:
    found = []
    for seed in range(10):
        shares, truth = drawn(4000, seed)
        learned = Calibration.learned(shares[:2000], np.zeros(2000, np.float32), truth[:2000])
        sets = learned.sets(shares[2000:], coverage)
        found.append(sets[np.arange(2000), truth[2000:]].mean())
    assert abs(np.mean(found) - coverage) < 0.01


def test_thresholds_worked_by_hand() -> None:
    known = np.linspace(0.1, 0.9, 9, dtype=np.float32)
    assert threshold(known, 0.9) == known[8]
    assert threshold(known, 0.5) == known[4]
    assert threshold(known, 0.95) == math.inf, "nine images cannot promise 19 in 20"
    assert prediction_sets(SHARES, math.inf).all()
    assert prediction_sets(SHARES, 0.5).tolist() == [[True, False, False], [True, False, False], [True, True, False]]
    np.testing.assert_allclose(nonconformity(SHARES, np.array([0, 2, 1])), [0.3, 1, 0.5], rtol=1e-6)


def test_as_many_known_images_as_stated_are_taken_for_unknown() -> None:
    rng = np.random.default_rng(0)
    known = np.sort(rng.normal(size=500).astype(np.float32))
    p = p_values(known, rng.normal(size=20000).astype(np.float32))
    for share in (0.01, 0.05, 0.2):
        assert (p <= share).mean() == pytest.approx(share, abs=0.02)
    assert p_values(known, known[:1] - 1) == 1 / 501
    assert p_values(known, known[-1:]) == 1


def test_likeness_is_the_cosine_with_the_best_class() -> None:
    atoms = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    images = np.array([[3, 4, 12], [0, 0, 5], [1, 1, 1], [0, 0, 0]], np.float32)
    codes = sparse(np.array([[1.5, 2.0, 3.0], [0, 0, 1.0], [0, 0, 0], [0, 0, 0]], np.float32))
    given = Given(np.array([0, 0, 1]), 2, atoms.__getitem__, lambda: images)
    np.testing.assert_allclose(likeness(codes, given), [12 / 13, 1, 0, 0], atol=1e-6)
    first = Given(np.array([0, 0, 0]), 1, atoms.__getitem__, lambda: images)
    cosine = images[0] @ [1.5, 2, 3] / (13 * np.linalg.norm([1.5, 2, 3]))
    assert likeness(codes, first)[0] == pytest.approx(cosine)


def test_auroc_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    known, unknown = rng.integers(3, 20, 300).astype(np.float32), rng.integers(0, 15, 200).astype(np.float32)
    wanted = roc_auc_score(np.repeat([1, 0], [300, 200]), np.concatenate([known, unknown]))
    assert auroc(known, unknown) == pytest.approx(wanted)


@pytest.mark.parametrize("k", [1, 5])
def test_the_kth_neighbour_is_scikit_learns(k: int) -> None:
    rng = np.random.default_rng(0)
    atoms, images = rng.normal(size=(50, 8)), rng.normal(size=(7, 8))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    exemplars = TiledExemplars(Atoms.of(atoms.astype(np.float32)), np.zeros(50, np.int64))
    found = cosine_to_nearest(images.astype(np.float32), exemplars, k)
    distance, _ = NearestNeighbors(n_neighbors=k, metric="cosine").fit(atoms).kneighbors(images)
    np.testing.assert_allclose(found, 1 - distance[:, -1], atol=1e-6)


def test_calibration_error_worked_by_hand() -> None:
    right = np.array([True, True, False, False])
    assert metrics.calibration_error(np.array([1.0, 1.0, 0, 0]), right) == 0
    assert metrics.calibration_error(np.array([0.9, 0.9, 0.9, 0.9]), right) == 40
    assert metrics.calibration_error(np.array([0.9, 0.9, 0.2, 0.2]), right) == 15
