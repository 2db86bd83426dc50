"""Inner products of the atoms of a working set, G[W, W]: looked up in the stored Gramian, or computed from the atoms.

A working set only ever grows, and its matrix with it: what is known stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca.atoms import ALIGNED, Rows, aligned
from dseld_cli.lca.compiled import compiled
from dseld_cli.lca.inhibition import GramianTiles
from dseld_cli.runtime.engine import on_all_cores

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

TOGETHER = 4
"""Images whose matrices are looked up at a time: they stay in the processor's cache, while tiles come and go."""


@dataclass
class WorkingSet:
    """Atoms W (w,) in the order in which they joined; driving input b, and G, of the first of them, (v,) and (v, v)."""

    atoms: Int64
    b: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    gram: Float32 = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def __len__(self) -> int:
        return len(self.atoms)

    def grown(self) -> Float32:
        """Room for all of G[W, W], with what is known of it."""
        known, w = len(self.gram), len(self.atoms)
        gram = np.empty((w, w), np.float32)
        gram[:known, :known] = self.gram
        return gram


def from_atoms(working_set: WorkingSet, rows: Rows) -> None:
    """Complete G[W, W] by multiplying the atoms."""
    known, w = len(working_set.gram), len(working_set)
    if known == w:
        return
    places = rows.places(working_set.atoms)
    everything = aligned(rows.rows, places)
    new = everything[known // ALIGNED * ALIGNED :]  # some of which are known
    gram = working_set.grown()
    gram[known:] = (new @ everything.T)[known % ALIGNED : known % ALIGNED + w - known, :w]
    gram[:known, known:] = gram[known:, :known].T
    working_set.gram = gram


def from_store(working_sets: Sequence[WorkingSet], gramian: GramianTiles) -> None:
    """Complete G[W, W] of many images by looking it up, tile by tile of the stored Gramian, a few images at a time."""
    waiting = [ws for ws in working_sets if len(ws.gram) < len(ws)]
    tiles = list(gramian()) if waiting else []
    groups = [waiting[start : start + TOGETHER] for start in range(0, len(waiting), TOGETHER)]
    on_all_cores(lambda group: _look_up_all(group, tiles), groups)


def _look_up_all(working_sets: Sequence[WorkingSet], tiles: Sequence[tuple[slice, slice, NDArray[Any]]]) -> None:
    sizes = np.array([len(ws) for ws in working_sets])
    known = np.array([len(ws.gram) for ws in working_sets])
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes**2)])
    entries = np.empty(starts[-1], np.float32)
    for ws, start, w, v in zip(working_sets, starts, sizes, known, strict=False):
        gram = entries[start : start + w * w].reshape(w, w)
        gram[:v, :v] = ws.gram
        ws.gram = gram
    order = [np.argsort(ws.atoms) for ws in working_sets]
    positions = np.concatenate(order)
    atoms = np.concatenate([ws.atoms[o] for ws, o in zip(working_sets, order, strict=True)])
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    for rows, columns, tile in tiles:
        content = tile.astype(np.float32, copy=False)
        look_up(content, rows.start, columns.start, indptr, atoms, positions, known, starts, entries)


@compiled
def look_up(
    tile: Float32, row: int, column: int, indptr: Int64, atoms: Int64, positions: Int64, known: Int64, starts: Int64,
    entries: Float32,
) -> None:  # fmt: skip
    """Copy what a tile of the Gramian, whose first entry is (row, column), has of every image's G[W, W], and mirror it.

    Image i's working set is atoms[indptr[i]:indptr[i + 1]], rising, at `positions` of its G[W, W], which is
    entries[starts[i]:], row by row; of its first known[i] atoms it is there already.
    """
    for i in range(len(known)):
        ids, places = atoms[indptr[i] : indptr[i + 1]], positions[indptr[i] : indptr[i + 1]]
        w = len(ids)
        first, last = np.searchsorted(ids, row), np.searchsorted(ids, row + tile.shape[0])
        if first == last:
            continue
        left, right = np.searchsorted(ids, column), np.searchsorted(ids, column + tile.shape[1])
        for p in range(first, last):
            for q in range(left, right):
                if places[p] >= known[i] or places[q] >= known[i]:
                    value = tile[ids[p] - row, ids[q] - column]
                    entries[starts[i] + places[p] * w + places[q]] = value
                    entries[starts[i] + places[q] * w + places[p]] = value
