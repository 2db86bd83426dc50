"""How probable the label of a training image is, by two witnesses that have not seen it (cleanlab: "label quality").

The exemplars: class-sum over a leave-one-out code, over the image's norm. And, as they err alike where neighbours do,
ridge regression of the classes on features, fitted to all other images: that needs no second fit, as it is known in
closed form what an image's own label adds (PRESS: Allen 1974). No gradient is followed for either.

Both are weighed as suits the labels best (stacking: Wolpert 1992), then half as much: the fit trusts all labels, of
which some are doubted here. Where the features are pixels, the regression gets no weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dseld_cli.dictionary.transform import Moments

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

Blocks = Callable[[], Iterable[tuple[slice, Float32]]]
"""Reads features of n images, block after block: which, and their features."""

CONFIDENCE = 0.5
"""Of the weights that suit the labels best."""
FITTED_ON = 10_000
"""Images that the weights are fitted to, at most."""
MOST = 100.0
"""Largest weight of a witness."""


def regressed(blocks: Blocks, labels: Int64, n_classes: int) -> Float32:
    """Ridge regression of each class (1 or 0) on the features of all other images, (n, C), in two passes.

    The penalty is the features' mean variance: of each image, as much as its own features say, half is believed.
    """
    moments = Moments.of(((features, labels[part]) for part, features in blocks()), n_classes)
    n, mean, covariance = len(labels), moments.mean, moments.covariance()
    variance = max(float(np.trace(covariance)) / len(mean), 1e-30)
    inverse = np.linalg.inv(covariance + variance * np.eye(len(mean)))
    share = moments.counts / n
    slopes = (moments.sums / n - np.outer(share, mean - moments.origin)) @ inverse
    found = np.empty((n, n_classes), np.float32)
    for part, features in blocks():
        about = features - mean
        fitted = about @ slopes.T + share
        own = (np.einsum("ij,ij->i", about @ inverse, about) / n + 1 / n)[:, None]
        found[part] = (fitted - own * (labels[part, None] == np.arange(n_classes))) / np.maximum(1 - own, 1e-6)
    return found


def weights(witnesses: tuple[Float32, ...], labels: Int64) -> list[float]:
    """Weights with which the labels (n,) are likeliest, softmax of the weighted sum of scores (n, C) being their odds.

    None is negative; it is a concave problem.
    """
    from scipy.optimize import minimize

    some = slice(None, None, -(-len(labels) // FITTED_ON))
    its, given = [witness[some].astype(np.float64) for witness in witnesses], labels[some]
    own = np.array([witness[np.arange(len(given)), given] for witness in its])

    def loss(weight: Float64) -> tuple[float, Float64]:
        probability, log_sum = _softmax(_heard(its, weight))
        expected = np.array([np.einsum("ij,ij->i", probability, witness) for witness in its])
        return float((log_sum - weight @ own).mean()), (expected - own).mean(axis=1)

    found = minimize(loss, np.ones(len(its)), jac=True, method="L-BFGS-B", bounds=[(0, MOST)] * len(its))
    return [float(w) for w in found.x]


def label_quality(witnesses: tuple[Float32, ...], labels: Int64) -> Float32:
    """Probability of each label (n,) by what witnesses say of the classes, (n, C) each; to rank by."""
    own = np.empty(len(labels), np.float32)
    weight = CONFIDENCE * np.array(weights(witnesses, labels))
    for start in range(0, len(labels), FITTED_ON):
        part = slice(start, start + FITTED_ON)
        probability, _ = _softmax(_heard([its[part] for its in witnesses], weight))
        own[part] = probability[np.arange(len(probability)), labels[part]]
    return own


def _heard(witnesses: Sequence[Float32 | Float64], weight: Float64) -> Float64:
    """Weighted sum of what they say, (n, C)."""
    found: Float64 = sum(w * its.astype(np.float64) for w, its in zip(weight, witnesses, strict=True))
    return found


def _softmax(logits: Float64) -> tuple[Float64, Float64]:
    """Softmax of rows (n, C), and the logarithm of what it divides by, (n,)."""
    top = logits.max(axis=1)
    odds = np.exp(logits - top[:, None])
    total = odds.sum(axis=1)
    return odds / total[:, None], np.log(total) + top
