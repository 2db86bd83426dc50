"""Atoms as the encoder reads them: kept in memory, or block by block from wherever they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca.inhibition import AtomBlocks

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

TILE = 2048
"""Atoms multiplied at a time: their products with a batch stay in the processor's cache."""

ALIGNED = 12
"""A matrix of a multiple of so many rows has no edges for `inner`, on either side of a product."""


LINE = 16
"""Numbers of a cache line."""


def on_lines(rows: int, columns: int) -> Float32:
    """Room (rows, columns) that begins with a cache line, as each row does if columns are a multiple of LINE.

    Vectors that lie across two lines are loaded in twice the time.
    """
    room = np.empty(rows * columns + LINE, np.float32)
    first = -(room.ctypes.data // room.itemsize) % LINE
    return room[first : first + rows * columns].reshape(rows, columns)


@dataclass(frozen=True)
class Atoms:
    """Unit-norm atoms (M, N); a row of zeros is a tombstone, which nothing drives.

    Attributes:
        shape: (M, N).
        blocks: yields them block by block, in order, as often as it is called.
        resident: all of them, where they are in memory.

    """

    shape: tuple[int, int]
    blocks: AtomBlocks
    resident: Float32 | None = None

    @classmethod
    def of(cls, rows: Float32) -> Atoms:
        """Atoms that are in memory, (M, N)."""
        rows = np.ascontiguousarray(rows, np.float32)
        return cls((len(rows), rows.shape[1]), lambda: [(slice(0, len(rows)), rows)], rows)

    def whole_blocks(self) -> Iterator[tuple[int, Float32]]:
        """All atoms in order, block by block: (first, atoms (rows, N))."""
        return ((rows.start, block) for rows, block in self.blocks())

    def tiles(self) -> Iterator[tuple[int, Float32]]:
        """All atoms in order, TILE at a time: (first, atoms (rows, N))."""
        for rows, block in self.blocks():
            for start in range(0, len(block), TILE):
                yield rows.start + start, block[start : start + TILE]

    def every(self, nth: int) -> Float32:
        """Every n-th atom, from the first on."""
        parts = [block[-first % nth :: nth] for first, block in self.whole_blocks()]
        return np.concatenate(parts)


class Rows:
    """The atoms that any working set of a batch holds: all, where they are in memory; else those fetched so far."""

    def __init__(self, atoms: Atoms) -> None:
        self.atoms = atoms
        self.ids: Int64 = np.zeros(0, np.int64)
        self.rows = np.zeros((0, atoms.shape[1]), np.float32) if atoms.resident is None else atoms.resident

    def places(self, atoms: Int64) -> Int64:
        """Where in `rows` atoms are."""
        return atoms if self.atoms.resident is not None else np.searchsorted(self.ids, atoms)

    def fetch(self, wanted: Int64) -> int:
        """Fetch what is not here yet, in one reading of the atoms; how many readings that took, 0 or 1."""
        new = np.setdiff1d(wanted, self.ids) if self.atoms.resident is None else self.ids
        if len(new) == 0:
            return 0
        ids = np.union1d(self.ids, new)
        rows = on_lines(len(ids), self.rows.shape[1])
        rows[np.searchsorted(ids, self.ids)] = self.rows
        for part, block in self.atoms.blocks():
            here = new[np.searchsorted(new, part.start) : np.searchsorted(new, part.stop)]
            rows[np.searchsorted(ids, here)] = block[here - part.start]
        self.ids, self.rows = ids, rows
        return 1


KEPT = 2**23
"""Numbers that a thread keeps room for, at most, by any name: threads stay."""

_scratch = threading.local()


def scratch(name: str, size: int) -> Float32:
    """Room for so many numbers, (size,), this thread's own, good until it asks again by that name.

    Fresh memory would cost more than what is written there: the kernel clears it page by page.
    """
    if size > KEPT:
        return np.empty(size, np.float32)
    room: Float32 | None = getattr(_scratch, name, None)
    if room is None or len(room) < size:
        room = np.empty(size + size // 2, np.float32)
        setattr(_scratch, name, room)
    return room[:size]
