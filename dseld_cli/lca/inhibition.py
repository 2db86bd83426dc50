"""Lateral inhibition (G - I) a in its two forms: through the atoms, and through the stored Gramian (paper, Eq. 3, 5).

Both take what they read in blocks, so that neither the atoms (M, N) nor the Gramian (M, M) need fit in memory.
The atoms cost 2 M N multiplications per image, the Gramian M^2: for M > 2 N the atoms are cheaper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca.recurrence import Array, Inhibition
from dseld_cli.runtime.matrices import product

AtomBlocks = Callable[[], Iterable[tuple[slice, Array]]]
"""Called, yields every block of atoms once, in order: (rows, atoms[rows] (rows, N))."""

Multiply = Callable[[Array, Array], Array]
"""Product of two matrices."""

GramianTiles = Callable[[], Iterable[tuple[slice, slice, Array]]]
"""Called, yields every tile on and below the diagonal once: (rows, columns, gramian[rows, columns])."""


def driving_input(features: Array, atoms: AtomBlocks, n_atoms: int, multiply: Multiply = product) -> Array:
    """Driving input b = Phi S (B, M) of features S (B, N) (Eq. 4)."""
    b = zeros_like(features, n_atoms)
    for rows, block in atoms():
        part = multiply(features, block.T)
        if len(block) == n_atoms:
            return part
        b[:, rows] = part
    return b


def zeros_like(array: Array, columns: int) -> Array:
    """Zeros (B, columns) where `array` (B, N) is, and of its type."""
    if isinstance(array, np.ndarray):
        return np.zeros((len(array), columns), array.dtype)
    return array.new_zeros((len(array), columns))


def through_atoms(atoms: AtomBlocks, n_features: int, multiply: Multiply = product) -> Inhibition:
    """Lateral inhibition Phi (Phi^T a) - a: what the code already explains, seen through each atom.

    Reads the atoms twice per call.
    """

    def inhibition(a: Array) -> Array:
        explained = zeros_like(a, n_features)  # Phi^T a, (B, N)
        for rows, block in atoms():
            explained += multiply(a[:, rows], block)
        lateral = driving_input(explained, atoms, a.shape[1], multiply)
        lateral -= a
        return lateral

    return inhibition


def through_gramian(tiles: GramianTiles) -> Inhibition:
    """Lateral inhibition G a - a from the tiles on and below the diagonal: each serves its mirror image, too."""

    def inhibition(a: Array) -> Array:
        lateral = -a
        for rows, columns, tile in tiles():
            lateral[:, rows] += product(a[:, columns], tile.T)
            if rows != columns:
                lateral[:, columns] += product(a[:, rows], tile)
        return lateral

    return inhibition


def exclude(b: Array, inhibition: Inhibition, atoms: Sequence[NDArray[np.int64]]) -> Inhibition:
    """Keep neurons `atoms[i]` of each image i at rest: no driving input b (B, M), changed in place, and no inhibition.

    Zero input alone would not do: inhibition by others can drive a neuron below -lambda.
    """
    images = np.repeat(np.arange(len(atoms)), [len(own) for own in atoms])
    where = (images, np.concatenate([np.zeros(0, np.int64), *atoms]))
    b[where] = 0

    def without(a: Array) -> Array:
        lateral = inhibition(a)
        lateral[where] = 0
        return lateral

    return without
