"""Max-activation decoder (paper, Eq. 9)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dseld_cli.decoders.base import Float32, Given
from dseld_cli.lca.codes import SparseCodes


@dataclass(frozen=True)
class MaxActivation:
    """The class of the neuron with the highest activation (paper, Eq. 9)."""

    def scores(self, codes: SparseCodes, given: Given) -> Float32:
        """Score of class c: the highest a_m of its atoms m, 0 if none is positive. (n, n_classes)."""
        scores = np.zeros(len(codes) * given.n_classes, np.float32)
        np.maximum.at(scores, codes.image_of_value() * given.n_classes + given.labels[codes.indices], codes.values)
        return scores.reshape(len(codes), given.n_classes)
