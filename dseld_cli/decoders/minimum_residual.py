"""Minimum class residual, the decoder of sparse-representation classification (SRC; Wright et al., 2009).

Each class offers what its own neurons explain, p_c = sum of a_m phi_m over its atoms, and the class that leaves the
least of the image unexplained wins. One deviation: K-step codes are shrunk by lambda and by the leak, so p_c is too
short for every class; it is compared at its best length, where the residual is

    min_s ||S - s p_c||^2 = ||S||^2 - (p_c . S)^2 / ||p_c||^2        (s >= 0)

and the score is what is taken off ||S||^2. Digits 99.2 % against 97.8 % at the length as it is, MNIST 97.3 against 96.7
(10,000 atoms), CIFAR-10 features 77.4 against 77.8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from dseld_cli.decoders.base import Float32, Given, Int64
from dseld_cli.lca.codes import SparseCodes


@dataclass(frozen=True)
class MinimumResidual:
    """The class whose own neurons explain most of the image (SRC; Wright et al., 2009)."""

    def scores(self, codes: SparseCodes, given: Given) -> Float32:
        """Score of class c: how much less than ||S||^2 its residual is. (n, n_classes)."""
        scores = np.zeros((len(codes), given.n_classes), np.float32)
        firing, place = np.unique(codes.indices.astype(np.int64), return_inverse=True)
        atoms, labels, images = given.atoms(firing), given.labels[firing], given.features()
        with threadpool_limits(1):  # products of one image are too small to share
            for i, (start, stop) in enumerate(zip(codes.indptr, codes.indptr[1:], strict=False)):
                if start < stop:
                    mine = place[start:stop]
                    classes, taken_off = explained(codes.values[start:stop], atoms[mine], labels[mine], images[i])
                    scores[i, classes] = taken_off
        return scores


def explained(values: Float32, atoms: Float32, labels: Int64, image: Float32) -> tuple[Int64, Float32]:
    """Classes (C,) that an image's firing atoms (m, N) have, and (p_c . S)^2 / ||p_c||^2 of each (C,)."""
    order = np.argsort(labels, kind="stable")
    classes, first = np.unique(labels[order], return_index=True)
    explanation = np.add.reduceat(values[order, None] * atoms[order], first)  # p_c, (C, N)
    along = np.maximum(explanation @ image, 0)
    energy = np.square(explanation).sum(axis=1)
    taken_off: Float32 = np.divide(along**2, energy, out=np.zeros_like(along), where=energy > 0)
    return classes, taken_off
