"""Max-activation decoder (paper, Eq. 9): the class of the neuron with the highest activation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca.codes import SparseCodes


def max_activation(codes: SparseCodes, labels: NDArray[np.int64], n_classes: int) -> NDArray[np.float32]:
    """Score of class c: the highest a_m of its atoms m, 0 if none is positive. (n, n_classes) from labels (M,)."""
    scores = np.zeros((len(codes), n_classes), np.float32)
    np.maximum.at(scores, (codes.image_of_value(), labels[codes.indices]), codes.values)
    return scores
