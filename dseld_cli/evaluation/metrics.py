"""What predictions are worth: pure functions of predicted and true classes. Percentages, rounded to 0.01."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli.decoders.base import UNDECIDED

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Z95 = 1.959963984540054
"""Standard normal quantile that 95 % lie within."""
BINS = 15
"""Of confidence, in its calibration error."""


@dataclass(frozen=True)
class Tally:
    """Predictions of n images against their true classes, counted.

    Attributes:
        true: images of each class, and last those of classes that the dictionary lacks, (n_classes + 1,).
        said: images that each class was named for, and last those that were left undecided, (n_classes + 1,).
        right: images of each class that are right, (n_classes,).
        top5: images whose true class is among the five of the highest scores.
        gaps: how many are right, less their confidence, summed in each bin of it (BINS,).

    """

    true: Int64
    said: Int64
    right: Int64
    top5: int
    gaps: Float64

    @classmethod
    def of(
        cls, predicted: Int64, truth: Int64, n_classes: int, top5: NDArray[np.bool_], confidence: NDArray[np.float32]
    ) -> Tally:
        """Count images by predicted and true class, whether that is among the highest five, and highest score."""
        right = (predicted == truth) & (truth >= 0)
        true, said = (
            np.bincount(np.where(found < 0, n_classes, found), minlength=n_classes + 1) for found in (truth, predicted)
        )
        return cls(true, said, np.bincount(truth[right], minlength=n_classes), int(top5.sum()), gaps(confidence, right))

    def summary(self) -> dict[str, float | int]:
        """Top-1 with its 95 % interval, top-5, macro-F1, images left undecided (that is wrong), calibration error."""
        n, right = int(self.true.sum()), int(self.right.sum())
        low, high = interval(right, n)
        return {
            "top1": round(100 * right / n, 2),
            "low": low,
            "high": high,
            "top5": round(100 * self.top5 / n, 2),
            "macro_f1": self.macro_f1(),
            "undecided": int(self.said[-1]),
            "calibration_error": round(100 * float(np.abs(self.gaps).sum()) / n, 2),
        }

    def macro_f1(self) -> float:
        """F1 averaged over the classes that have an image, in percent; F1 is 2 TP / (2 TP + FP + FN).

        Images of classes that the dictionary lacks are such a class, which nothing gets right.
        """
        f1 = np.append(2 * self.right / np.maximum(self.said + self.true, 1)[:-1], 0.0)
        return round(100 * float(np.mean(f1[self.true > 0])), 2)

    def per_class_accuracy(self, classes: Sequence[str]) -> dict[str, float]:
        """Top-1 in percent of each class that has an image."""
        there = map(int, np.flatnonzero(self.true[:-1]))
        return {classes[c]: round(100 * int(self.right[c]) / int(self.true[c]), 2) for c in there}


@dataclass(frozen=True)
class Confusion:
    """Pairs of true and predicted class that occur, and how many images have each, rising: (p,) each.

    Attributes:
        true: classes; images of one that the dictionary lacks are left out.
        predicted: classes, `n_classes` where the decoder is undecided.
        images: at least one.
        n_classes: how many there are.

    """

    true: Int64
    predicted: Int64
    images: Int64
    n_classes: int

    @classmethod
    def of(cls, predicted: Int64, truth: Int64, n_classes: int) -> Confusion:
        """Count images by predicted and true class, (n,) each."""
        known = truth >= 0
        column = np.where(predicted == UNDECIDED, n_classes, predicted)[known]
        cells, images = np.unique(truth[known] * (n_classes + 1) + column, return_counts=True)
        return cls(*np.divmod(cells, n_classes + 1), images, n_classes)

    def matrix(self, most: int) -> Int64:
        """Images of true class (row) by predicted class, undecided in the last column: (C, C + 1).

        C is `n_classes`, or, of more than `most`, at most that: then neighbouring classes are taken together.
        """
        side = -(-self.n_classes // most)
        n = -(-self.n_classes // side)
        found = np.zeros((n, n + 1), np.int64)
        column = np.where(self.predicted == self.n_classes, n, self.predicted // side)
        np.add.at(found, (self.true // side, column), self.images)
        return found


def interval(right: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share, in percent: what another test set of n images might have given."""
    share = right / n
    middle = share + Z95**2 / (2 * n)
    half = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    low, high = ((middle + sign * half) / (1 + Z95**2 / n) for sign in (-1, 1))
    return round(100 * max(0.0, low), 2), round(100 * min(1.0, high), 2)


def calibration_error(confidence: NDArray[np.floating[Any]], right: NDArray[np.bool_]) -> float:
    """Average |accuracy - confidence| over bins, in points: expected calibration error (Naeini et al. 2015).

    `confidence` (n,) is in [0, 1]; bins are equally wide, and weigh as many images as are in them.
    """
    return round(100 * float(np.abs(gaps(confidence, right)).sum()) / len(right), 2)


def gaps(confidence: NDArray[np.floating[Any]], right: NDArray[np.bool_]) -> Float64:
    """How many of n images are right, less their confidence (n,), summed in each bin of it, (BINS,)."""
    place = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    return np.bincount(place, right - confidence.astype(np.float64), BINS).astype(np.float64)


def among_highest(scores: NDArray[np.float32], truth: Int64, k: int) -> NDArray[np.bool_]:
    """Whether the true class has a positive score that fewer than k others exceed, (n,), from scores (n, n_classes)."""
    known = truth >= 0  # classes that the dictionary lacks have no column
    own = np.where(known, scores[np.arange(len(truth)), np.maximum(truth, 0)], 0)
    higher: Int64 = (scores > own[:, None]).sum(axis=1)
    return (own > 0) & (higher < k)


def percent(right: NDArray[np.bool_]) -> float:
    """Share of True, in percent."""
    return round(100 * float(right.mean()), 2)
