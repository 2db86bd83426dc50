"""What a decoder's shares are worth, learned from images whose class is known and that nothing else was chosen on.

A probability: softmax(beta share), with the beta of the highest likelihood (temperature scaling, Guo et al. 2017: beta
is the inverse temperature, shares are the logits). Order, and so the class that is named, stays as it is.

A set of classes that holds the true one with a stated probability (split conformal prediction, Vovk et al. 2005; of all
such sets those by a threshold on the class's score are smallest on average, Sadinle et al. 2019). It holds for images
drawn as those were, whatever the decoder is.

Whether an image is of any known class: its likeness is the cosine with what the class that explains it best makes of
it. By the rank of an unseen image's likeness among those of known classes, a stated share of these is taken for unknown
(a conformal p-value, Bates et al. 2023).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dseld_cli.decoders.base import Given
from dseld_cli.decoders.minimum_residual import MinimumResidual
from dseld_cli.lca.codes import SparseCodes

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

MOST = 1000.0
"""Largest beta: shares that differ by a hundredth then differ by a factor of 20,000 in probability."""


def probabilities(scores: Float32, beta: float) -> Float64:
    """Probability of each class (n, C): softmax of beta times its share of the positive scores (n, C)."""
    logits = beta * (scores - scores.max(axis=1, keepdims=True)).astype(np.float64)
    odds = np.exp(logits)
    found: Float64 = odds / odds.sum(axis=1, keepdims=True)
    return found


def fitted_beta(scores: Float32, truth: Int64) -> float:
    """Find the beta of the highest likelihood of the true classes (n,), each in [0, C); it is a concave problem.

    One image in n + 2 is taken to be of another class (Platt 1999): that all n are right is no proof that all are.
    """
    from scipy.optimize import minimize_scalar

    own = scores[np.arange(len(truth)), truth].astype(np.float64)
    top = scores.max(axis=1).astype(np.float64)
    others = (scores.sum(axis=1, dtype=np.float64) - own) / max(1, scores.shape[1] - 1)
    own += (others - own) / (len(truth) + 2)

    def loss(beta: float) -> float:
        rest = np.exp(beta * (scores - top[:, None])).sum(axis=1)
        return float((np.log(rest) - beta * (own - top)).mean())

    return float(minimize_scalar(loss, bounds=(0, MOST), method="bounded").x)


def nonconformity(scores: Float32, truth: Int64) -> Float32:
    """How little a decoder makes of the true class: 1 less its share, (n,)."""
    found: Float32 = 1 - scores[np.arange(len(truth)), truth]
    return found


def threshold(known: Float32, coverage: float) -> float:
    """Nonconformity up to which classes are in a set that holds the true one with probability `coverage`.

    `known` (n,) are those of n images, sorted; inf, which is every class, if they are too few to promise so much.
    """
    rank = math.ceil((len(known) + 1) * coverage)
    return float(known[rank - 1]) if rank <= len(known) else math.inf


def prediction_sets(scores: Float32, limit: float) -> NDArray[np.bool_]:
    """Whether each class is in the image's set, (n, C): those within the limit, and the first in any case."""
    sets: NDArray[np.bool_] = (1 - scores) <= limit
    sets[np.arange(len(scores)), scores.argmax(axis=1)] = True
    return sets


def likeness(codes: SparseCodes, given: Given) -> Float32:
    """Find how well one class alone explains each image, (n,): its best cosine with what a class makes of it.

    The residual of sparse-representation classification (Wright et al. 2009) at its best length, as a share of the
    image's norm, is the sine of the same angle. `given` needs atoms and features.
    """
    taken_off = MinimumResidual().scores(codes, given).max(axis=1)
    norms = np.linalg.norm(given.features(), axis=1)
    found: Float32 = np.divide(np.sqrt(taken_off), norms, out=np.zeros_like(norms), where=norms > 0)
    return found


def p_values(known: Float32, found: Float32) -> Float64:
    """Share of images of known classes that are no more like one than each image, (n,), itself counted.

    An image of a known class has one of at most p with probability p. `known` are those of the first, sorted.
    """
    ranks = np.searchsorted(known, found, side="right").astype(np.float64)
    return (1 + ranks) / (len(known) + 1)


def auroc(known: Float32, unknown: Float32) -> float:
    """Probability that an image of a known class is more like a class than one of an unknown; equals count half."""
    ranked = np.sort(known)
    below = np.searchsorted(ranked, unknown, side="left") + np.searchsorted(ranked, unknown, side="right")
    return 1 - float(below.mean()) / (2 * len(known))


@dataclass(frozen=True)
class Calibration:
    """What was learned from n images of known classes.

    Attributes:
        beta: makes shares probabilities.
        nonconformity: of those images (n,), sorted.
        likeness: of those images (n,), sorted.

    """

    beta: float
    nonconformity: Float32
    likeness: Float32

    @classmethod
    def learned(cls, scores: Float32, likeness: Float32, truth: Int64) -> Calibration:
        """Learn from shares (n, C), likeness (n,) and true classes (n,), each in [0, C)."""
        return cls(fitted_beta(scores, truth), np.sort(nonconformity(scores, truth)), np.sort(likeness))

    @property
    def arrays(self) -> Mapping[str, Float32]:
        """What a store keeps of it, by name."""
        return {"nonconformity": self.nonconformity, "likeness": self.likeness}

    def probabilities(self, scores: Float32) -> Float64:
        """Probability of each class (n, C)."""
        return probabilities(scores, self.beta)

    def sets(self, scores: Float32, coverage: float) -> NDArray[np.bool_]:
        """Whether each class is in the image's set (n, C), which holds the true one with this probability."""
        return prediction_sets(scores, threshold(self.nonconformity, coverage))

    def unknown(self, found: Float32, false_alarms: float) -> NDArray[np.bool_]:
        """Whether each image (n,) is so little like any class as this share of the images of known ones, or less."""
        new: NDArray[np.bool_] = p_values(self.likeness, found) <= false_alarms
        return new
