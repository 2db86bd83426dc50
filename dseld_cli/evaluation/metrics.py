"""What predictions are worth: pure functions of predicted and true classes. Percentages, rounded to 0.01."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli.decoders.base import UNDECIDED

Int64 = NDArray[np.int64]
Z95 = 1.959963984540054
"""Standard normal quantile that 95 % lie within."""


def summary(predicted: Int64, scores: NDArray[np.float32], truth: Int64) -> dict[str, float | int]:
    """Top-1 with its 95 % interval, top-5, macro-F1, images left undecided (counted as wrong), calibration error."""
    right = (predicted == truth) & (truth >= 0)
    low, high = interval(right)
    return {
        "top1": percent(right),
        "low": low,
        "high": high,
        "top5": percent(among_highest(scores, truth, 5)),
        "macro_f1": macro_f1(predicted, truth),
        "undecided": int((predicted == UNDECIDED).sum()),
        "calibration_error": calibration_error(scores.max(axis=1), right),
    }


def interval(right: NDArray[np.bool_]) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share, in percent: what another test set of this size might have given."""
    n, share = len(right), float(right.mean())
    middle = share + Z95**2 / (2 * n)
    half = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    low, high = ((middle + sign * half) / (1 + Z95**2 / n) for sign in (-1, 1))
    return round(100 * max(0.0, low), 2), round(100 * min(1.0, high), 2)


def calibration_error(confidence: NDArray[np.floating[Any]], right: NDArray[np.bool_], bins: int = 15) -> float:
    """Average |accuracy - confidence| over bins, in points: expected calibration error (Naeini et al. 2015).

    `confidence` (n,) is in [0, 1]; bins are equally wide, and weigh as many images as are in them.
    """
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.bincount(place, right - confidence.astype(np.float64), bins)
    return round(100 * float(np.abs(gap).sum()) / len(right), 2)


def among_highest(scores: NDArray[np.float32], truth: Int64, k: int) -> NDArray[np.bool_]:
    """Whether the true class has a positive score that fewer than k others exceed, (n,), from scores (n, n_classes)."""
    known = truth >= 0  # classes that the dictionary lacks have no column
    own = np.where(known, scores[np.arange(len(truth)), np.maximum(truth, 0)], 0)
    higher: Int64 = (scores > own[:, None]).sum(axis=1)
    return (own > 0) & (higher < k)


def macro_f1(predicted: Int64, truth: Int64) -> float:
    """F1 averaged over the classes that have an image, in percent; F1 is 2 TP / (2 TP + FP + FN).

    Images of classes that the dictionary lacks (-1) are such a class, which nothing gets right.
    """
    found = [_f1(predicted == c, truth == c) if c >= 0 else 0.0 for c in np.unique(truth)]
    return round(100 * float(np.mean(found)), 2)


def _f1(said: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    return 2 * int((said & true).sum()) / (int(said.sum()) + int(true.sum()))


def per_class_accuracy(predicted: Int64, truth: Int64, classes: Sequence[str]) -> dict[str, float]:
    """Top-1 in percent of each class that has an image."""
    return {classes[c]: percent(predicted[truth == c] == c) for c in np.unique(truth[truth >= 0])}


def confusion(predicted: Int64, truth: Int64, n_classes: int) -> Int64:
    """Images of true class (row) by predicted class, undecided in the last column: (n_classes, n_classes + 1)."""
    known = truth >= 0
    column = np.where(predicted == UNDECIDED, n_classes, predicted)[known]
    cell = truth[known] * (n_classes + 1) + column
    return np.bincount(cell, minlength=n_classes * (n_classes + 1)).reshape(n_classes, n_classes + 1)


def percent(right: NDArray[np.bool_]) -> float:
    """Share of True, in percent."""
    return round(100 * float(right.mean()), 2)
