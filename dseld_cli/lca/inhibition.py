"""Lateral inhibition (G - I) a in its two forms: through the atoms, and through the stored Gramian (paper, Eq. 3, 5).

Both take what they read in blocks, so that neither the atoms (M, N) nor the Gramian (M, M) need fit in memory.
The atoms cost 2 M N multiplications an image, the Gramian M^2: for M > 2 N the atoms are cheaper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dseld_cli.lca.recurrence import Inhibition

AtomBlocks = Callable[[], Iterable[tuple[slice, Tensor]]]
"""Called, yields every block of atoms once, in order: (rows, atoms[rows] (rows, N))."""

GramianTiles = Callable[[], Iterable[tuple[slice, slice, Tensor]]]
"""Called, yields every tile on and below the diagonal once: (rows, columns, gramian[rows, columns])."""


def driving_input(features: Tensor, atoms: AtomBlocks, n_atoms: int) -> Tensor:
    """Driving input b = Phi S (B, M) of features S (B, N) (Eq. 4)."""
    b = features.new_empty((len(features), n_atoms))
    for rows, block in atoms():
        torch.matmul(features, block.T, out=b[:, rows])
    return b


def through_atoms(atoms: AtomBlocks, n_features: int) -> Inhibition:
    """Lateral inhibition Phi (Phi^T a) - a: what the code already explains, seen through each atom.

    Reads the atoms twice a call.
    """

    def inhibition(a: Tensor) -> Tensor:
        explained = a.new_zeros((len(a), n_features))  # Phi^T a, (B, N)
        for rows, block in atoms():
            explained.addmm_(a[:, rows], block)
        return driving_input(explained, atoms, a.shape[1]).sub_(a)

    return inhibition


def through_gramian(tiles: GramianTiles) -> Inhibition:
    """Lateral inhibition G a - a from the tiles on and below the diagonal: each serves its mirror image, too."""

    def inhibition(a: Tensor) -> Tensor:
        lateral = -a
        for rows, columns, tile in tiles():
            lateral[:, rows].addmm_(a[:, columns], tile.T)
            if rows != columns:
                lateral[:, columns].addmm_(a[:, rows], tile)
        return lateral

    return inhibition


def silence(b: Tensor, inhibition: Inhibition, atoms: Sequence[NDArray[np.int64]]) -> Inhibition:
    """Keep neurons `atoms[i]` of each image i at rest: no driving input b (B, M), changed in place, and no inhibition.

    Zero input alone would not do: inhibition by others can drive a neuron below -lambda.
    """
    images = np.repeat(np.arange(len(atoms)), [len(own) for own in atoms])
    where = (images, np.concatenate([np.zeros(0, np.int64), *atoms]))
    b[where] = 0

    def silenced(a: Tensor) -> Tensor:
        lateral = inhibition(a)
        lateral[where] = 0
        return lateral

    return silenced
