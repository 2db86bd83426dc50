"""A decoder of one's own, as the documentation shows it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dseld_cli.decoders.base import Given, option
from dseld_cli.lca.codes import SparseCodes


@dataclass(frozen=True)
class PowerSum:
    """Class-sum of activations raised to a power: the louder a neuron, the more it counts."""

    power: float = option(2.0, "Exponent.")

    def scores(self, codes: SparseCodes, given: Given) -> NDArray[np.float32]:
        """Score of each class for each image, (n, n_classes)."""
        raised = np.maximum(codes.values, 0) ** self.power
        cell = codes.image_of_value() * given.n_classes + given.labels[codes.indices]
        sums = np.bincount(cell, raised, minlength=len(codes) * given.n_classes)
        return sums.reshape(len(codes), given.n_classes).astype(np.float32)
