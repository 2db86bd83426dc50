"""What leave-one-out codes say of the training images themselves: labels that their exemplars argue against.

An image is coded while its own atom, and exact copies of it, cannot fire. If the others speak for another class than
its label says, one of the two is wrong, or the image lies between them. Such images are ranked by how probable their
label is (`label_quality`), as in confident learning ("self-confidence": Northcutt et al. 2021).

An exemplar is judged by whom it speaks for: activations in codes of images of its own class help, all others harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dseld_cli.decoders.base import Given
from dseld_cli.lca.codes import SparseCodes

ALIKE = 0.99
"""Cosine from which two images are nearly equal."""
PAIRS = 2**14
"""Images and exemplars that are compared at a time."""

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Argued:
    """What is said of n images with labels (n,), each in [0, C).

    Attributes:
        own: share of the label, (n,).
        other: the strongest other class, (n,).
        margin: share of the label less that of `other`, (n,), from -1 to 1; below 0 another class is louder.
        quality: probability of the label, (n,).

    """

    own: Float32
    other: Int64
    margin: Float32
    quality: Float32

    @property
    def order(self) -> Int64:
        """Images whose label is argued against, (m,), the least probable label first."""
        ranked = np.lexsort((self.margin, self.quality))
        return ranked[self.margin[ranked] < 0]


def argued(shares: Float32, labels: Int64, quality: Float32) -> Argued:
    """Compare each label with the strongest other class, from shares (n, C); there are at least two classes."""
    rows = np.arange(len(labels))
    own = shares[rows, labels]
    others = shares.copy()
    others[rows, labels] = -np.inf
    other = others.argmax(axis=1)
    return Argued(own, other, own - others[rows, other], quality)


def influence(codes: SparseCodes, images: Int64, atoms: Int64) -> tuple[Float64, Float64]:
    """Sum up for each atom its positive activations in codes of images of its own class, and of others; each (M,).

    `images` (n,) and `atoms` (M,) are the labels of both.
    """
    speaks = np.maximum(codes.values, 0).astype(np.float64)
    same = atoms[codes.indices] == images[codes.image_of_value()]
    helped: Float64 = np.bincount(codes.indices, speaks * same, len(atoms)).astype(np.float64)
    harmed: Float64 = np.bincount(codes.indices, speaks * ~same, len(atoms)).astype(np.float64)
    return helped, harmed


def taken(labels: Int64, other: Int64, margin: Float32, n_classes: int) -> Int64:
    """Count, for each pair of classes, images of the first that the second takes, (C, C)."""
    found = np.zeros((n_classes, n_classes), np.int64)
    lost = margin < 0
    np.add.at(found, (labels[lost], other[lost]), 1)
    return found


@dataclass(frozen=True)
class Twin:
    """An image and an exemplar of another class that are equal, or nearly: cosine of at least ALIKE."""

    image: int
    atom: int
    cosine: float


def twins(codes: SparseCodes, images: Int64, given: Given) -> Iterator[Twin]:
    """Find, for each of n images of classes (n,), the exemplars of other classes that it is nearly equal to.

    Only those that are active in its code are looked at: the nearest is the first that fires, and silences the others.
    """
    features = given.features()
    norms = np.maximum(np.linalg.norm(features, axis=1), 1e-30)
    image = codes.image_of_value()
    others = np.flatnonzero((given.labels[codes.indices] != images[image]) & (codes.values > 0))
    for part in np.array_split(others, -(-len(others) // PAIRS)) if len(others) else ():
        row, atom = image[part], codes.indices[part].astype(np.int64)
        cosines = np.einsum("ij,ij->i", features[row], given.atoms(atom)) / norms[row]
        for i in np.flatnonzero(cosines >= ALIKE):
            yield Twin(int(row[i]), int(atom[i]), float(cosines[i]))
