"""Exemplars as classifiers without coding take them: unit-norm rows (M, N) with classes (M,), tile by tile.

They come as often as they are wanted, and need not fit in memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca.atoms import Atoms
from dseld_cli.lca.atoms import Rows as AtomRows

Rows = NDArray[np.float32]
Labels = NDArray[np.int64]


def of_all(scores: Rows, classes: Labels, n_classes: int) -> Rows:
    """Scores (B, n_classes) from those (B, C) of the classes (C,) that have exemplars: others have none."""
    found = np.zeros((len(scores), n_classes), np.float32)
    found[:, classes] = scores
    return found


class TiledExemplars:
    """Exemplars (M, N) with their classes (M,), -1 of those that were removed, which count for nothing.

    Attributes:
        atoms: all rows.
        labels: class of each.
        classes: classes that have exemplars, rising (C,).
        counts: how many each has, (C,).

    """

    def __init__(self, atoms: Atoms, labels: Labels) -> None:
        self.atoms, self.labels = atoms, labels
        self.classes, self.counts = np.unique(labels[labels >= 0], return_counts=True)

    def __len__(self) -> int:
        return int(self.counts.sum())

    @property
    def n_features(self) -> int:
        """N."""
        return self.atoms.shape[1]

    def tiles(self) -> Iterator[tuple[Rows, Labels]]:
        """Yield rows (m, N) and their classes (m,), TILE or fewer at a time."""
        for first, tile in self.atoms.tiles():
            labels = self.labels[first : first + len(tile)]
            there = labels >= 0
            if there.any():
                yield (tile, labels) if there.all() else (tile[there], labels[there])

    def some(self, which: Labels) -> TiledExemplars:
        """Take some of those that were not removed, in this order, into memory."""
        wanted, rows = np.flatnonzero(self.labels >= 0)[which], AtomRows(self.atoms)
        rows.fetch(wanted)
        return TiledExemplars(Atoms.of(rows.rows[rows.places(wanted)]), self.labels[wanted])
