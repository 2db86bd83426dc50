"""Minimum class residual, the decoder of sparse-representation classification (SRC; Wright et al., 2009).

Each class offers what its own neurons explain, p_c = sum of a_m phi_m over its atoms, and the class that leaves the
least of the image unexplained wins. One deviation: K-step codes are shrunk by lambda and by the leak, so p_c is too
short for every class; it is compared at its best length, where the residual is

    min_s ||S - s p_c||^2 = ||S||^2 - (p_c . S)^2 / ||p_c||^2        (s >= 0)

and the score is what is taken off ||S||^2. Digits 99.2 % against 97.8 % at the length as it is, MNIST 97.3 against 96.7
(10,000 atoms), CIFAR-10 features 77.4 against 77.8.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca.codes import SparseCodes

Float32 = NDArray[np.float32]


def minimum_residual(
    codes: SparseCodes,
    labels: NDArray[np.int64],
    n_classes: int,
    atoms: Float32,
    features: Float32,
    images: Iterable[int] | None = None,
) -> Float32:
    """Score of class c: how much less than ||S||^2 its residual is. (n, n_classes).

    `labels` (U,) and `atoms` (U, N) are of the atoms that codes.indices index, `features` (n, N) of the images;
    `images` is range(n), passed by whoever wants to see the progress.
    """
    scores = np.zeros((len(codes), n_classes), np.float32)
    for i in range(len(codes)) if images is None else images:
        part = slice(codes.indptr[i], codes.indptr[i + 1])
        atom = codes.indices[part]
        scores[i] = explained(codes.values[part], atoms[atom], labels[atom], n_classes, features[i])
    return scores


def explained(values: Float32, atoms: Float32, labels: NDArray[np.int64], n_classes: int, image: Float32) -> Float32:
    """(p_c . S)^2 / ||p_c||^2 of every class, (n_classes,), from one image's activations (m,), their atoms (m, N)."""
    of_class = np.zeros((n_classes, len(values)), np.float32)
    of_class[labels, np.arange(len(values))] = values
    explanation = of_class @ atoms  # p_c, (n_classes, N)
    along = np.maximum(explanation @ image, 0)
    energy = np.square(explanation).sum(axis=1)
    taken_off: Float32 = np.divide(along**2, energy, out=np.zeros_like(along), where=energy > 0)
    return taken_off
