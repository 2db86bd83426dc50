"""Scores (n, n_classes) of any decoder: made comparable, and the class read off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UNDECIDED = -1
"""The label of an image for which no neuron speaks: no class has a positive score."""


def shares(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Positive scores (n, n_classes) scaled to sum to one, others 0; a row without any stays zero."""
    positive = np.maximum(scores, 0)
    total = positive.sum(axis=1, keepdims=True, dtype=np.float64)
    share: NDArray[np.float32] = np.divide(positive, total, out=np.zeros_like(positive), where=total > 0)
    return share


def predict(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Class with the highest score, (n,), the first of equals; UNDECIDED where no score is positive."""
    return np.where(scores.max(axis=1) > 0, scores.argmax(axis=1), UNDECIDED)
