"""Class-sum decoder (paper, Eq. 10)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dseld_cli.decoders.base import Float32, Given
from dseld_cli.lca.codes import SparseCodes


@dataclass(frozen=True)
class ClassSum:
    """The class whose neurons' activations sum highest (paper, Eq. 10)."""

    def scores(self, codes: SparseCodes, given: Given) -> Float32:
        """Score of class c: the sum of a_m over its atoms m, signed. (n, n_classes)."""
        cell = codes.image_of_value() * given.n_classes + given.labels[codes.indices]
        sums = np.bincount(cell, weights=codes.values, minlength=len(codes) * given.n_classes)
        return sums.reshape(len(codes), given.n_classes).astype(np.float32)
