"""Images along the borders of their classes first: condensed nearest neighbours (Hart 1968), as an order.

In one pass over the images, shuffled, each is taken whose nearest among those taken before is of another class: they
lie where classes meet. Where classes hardly overlap, a few thousand of them decide as all images do; where they do
overlap, they are the doubtful ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dseld_cli.runtime.progress import Track, quiet

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

BLOCK = 1024
"""Images that are compared with all taken before at a time; among themselves they go one by one."""
PANEL = 8192
"""Images taken before that are compared at a time."""


def condensed(unit: Float32, labels: Int64, seed: int, track: Track = quiet) -> Int64:
    """Rows of the images that are taken, in order, from unit-norm features (n, N) and classes (n,)."""
    order = np.random.default_rng(seed).permutation(len(labels))
    taken: list[int] = []
    cuts = [order[start : start + BLOCK] for start in range(0, len(order), BLOCK)]
    for rows in track(cuts, len(cuts), "condensing"):
        mine, truth = unit[rows], labels[rows]
        nearest, said = _nearest(mine, unit, labels, np.array(taken, np.int64))
        cosines = mine @ mine.T
        for i in range(len(rows)):
            if said[i] != truth[i]:
                taken.append(int(rows[i]))
                closer = cosines[i] > nearest
                nearest[closer], said[closer] = cosines[i][closer], truth[i]
    return np.array(taken, np.int64)


def _nearest(mine: Float32, unit: Float32, labels: Int64, taken: Int64) -> tuple[Float32, Int64]:
    """Cosine with the nearest of the images taken (m,), and its class, for each of `mine` (B, N); none at first."""
    best, said = np.full(len(mine), -np.inf, np.float32), np.full(len(mine), -1, np.int64)
    for start in range(0, len(taken), PANEL):
        some = taken[start : start + PANEL]
        cosines = mine @ unit[some].T
        place = cosines.argmax(axis=1)
        cosine = cosines[np.arange(len(mine)), place]
        closer = cosine > best
        best[closer], said[closer] = cosine[closer], labels[some[place[closer]]]
    return best, said
