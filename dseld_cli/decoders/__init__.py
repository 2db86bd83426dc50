"""Decoders: sparse codes (CSR) and the atoms' classes to a score a class. They know arrays only: no files, no options.

A decoder is a function (codes, labels (M,), n_classes) -> scores (n, n_classes) float32; `predict` reads the class off.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dseld_cli.decoders.class_sum import class_sum
from dseld_cli.decoders.max_activation import max_activation
from dseld_cli.lca.codes import SparseCodes

Decoder = Callable[[SparseCodes, NDArray[np.int64], int], NDArray[np.float32]]

DECODERS: dict[str, Decoder] = {"max-activation": max_activation, "class-sum": class_sum}

UNDECIDED = -1
"""The label of an image for which no neuron speaks: no class has a positive score."""


def predict(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Class with the highest score, (n,), the first of equals; UNDECIDED where no score is positive."""
    return np.where(scores.max(axis=1) > 0, scores.argmax(axis=1), UNDECIDED)
