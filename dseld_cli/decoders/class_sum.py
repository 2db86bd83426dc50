"""Class-sum decoder (paper, Eq. 10): the class whose neurons' activations sum highest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca.codes import SparseCodes


def class_sum(codes: SparseCodes, labels: NDArray[np.int64], n_classes: int) -> NDArray[np.float32]:
    """Score of class c: the sum of a_m over its atoms m, signed. (n, n_classes) from labels (M,)."""
    cell = codes.image_of_value() * n_classes + labels[codes.indices]
    sums = np.bincount(cell, weights=codes.values, minlength=len(codes) * n_classes)
    return sums.reshape(len(codes), n_classes).astype(np.float32)
