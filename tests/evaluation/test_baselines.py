"""Baselines against scikit-learn's classifiers, which define what they are."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from dseld_cli.evaluation import baselines

PIXELS, CLASSES = load_digits(return_X_y=True)
UNIT = (PIXELS / np.linalg.norm(PIXELS, axis=1, keepdims=True)).astype(np.float32)
ATOMS, LABELS, IMAGES = UNIT[:400], CLASSES[:400].astype(np.int64), UNIT[400:700]


def test_neighbours_vote_as_scikit_learns_do() -> None:
    peer = KNeighborsClassifier(7, metric="cosine", algorithm="brute").fit(ATOMS, LABELS)
    ours = baselines.neighbours(ATOMS, LABELS, 10, 7)
    np.testing.assert_allclose(ours.scores(IMAGES), peer.predict_proba(IMAGES), atol=1e-6)


@pytest.mark.parametrize("strength", [1.0, 100.0])
def test_logistic_regression_comes_as_near_the_optimum_as_scikit_learns(strength: float) -> None:
    """Both stop where the gradient is small; the optimum is scikit-learn's with a far smaller tolerance."""
    optimum, peer = (
        LogisticRegression(C=strength, max_iter=5000, tol=tol).fit(ATOMS.astype(np.float64), LABELS)
        for tol in (1e-8, 1e-4)
    )
    ours = baselines._fitted(ATOMS, LABELS, 10, strength, lambda items, total, what: items, "")

    def objective(weights: np.ndarray, bias: np.ndarray) -> float:
        logits = ATOMS @ weights.T + bias
        likelihood = logits[np.arange(len(LABELS)), LABELS] - np.logaddexp.reduce(logits, axis=1)
        return float(-likelihood.sum() + np.square(weights).sum() / (2 * strength))

    least = objective(optimum.coef_, optimum.intercept_)
    assert objective(ours.weights, ours.bias) - least <= 1.5 * (objective(peer.coef_, peer.intercept_) - least) + 1e-3
    assert (ours.labels(IMAGES) == optimum.predict(IMAGES)).mean() > 0.99
