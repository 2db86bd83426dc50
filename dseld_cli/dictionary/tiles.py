"""Tiles of the Gramian, by whoever makes them: this process, or a worker on another machine.

A tile is a function of two blocks of atoms, each of which is mapped from the store, and so read once by a machine that
has room for it. It is made on one core: linear algebra sums otherwise on several, and tiles are to be the same
wherever they are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dseld_cli import __version__, store
from dseld_cli.dictionary.checks import require_unit_norm
from dseld_cli.dictionary.inputs import Input
from dseld_cli.errors import StoreDamaged
from dseld_cli.runtime.cluster import require_version

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Tiling:
    """What all tiles of one run share.

    Attributes:
        dictionary: the atoms.
        older: a Gramian of some of them, which has the corners of tiles that grow; None if none do.
        side: rows and columns of a tile.
        dtype: of the stored tiles: float32 or float16.
        version: of dseld that began the run.

    """

    dictionary: Input
    older: Input | None
    side: int
    dtype: str
    version: str = __version__


@dataclass(frozen=True)
class Tile:
    """One tile of a run.

    Attributes:
        tiling: what it shares with the others.
        number: of the tile.
        key: its row and column among the tiles.
        grows: whether the older Gramian has its upper left corner.
        folder: where it is set aside.

    """

    tiling: Tiling
    number: int
    key: store.Key
    grows: bool
    folder: Path | str


@dataclass(frozen=True)
class Atoms:
    """Blocks of atoms, each looked at once."""

    dictionary: store.Dictionary
    unit_norm: set[int]

    def block(self, i: int) -> Float32:
        """Map a block of atoms (R, N).

        Raises:
            UserError: if one is damaged, or is not of unit norm.

        """
        rows: Float32 = self.dictionary.mapped("atoms", (i, 0))
        if i not in self.unit_norm:
            require_unit_norm(rows, self.dictionary)
            self.unit_norm.add(i)
        return rows


@lru_cache(maxsize=1)
def prepared(tiling: Tiling) -> tuple[Atoms, store.Gramian | None]:
    """Open what a run reads: atoms, an older Gramian.

    Raises:
        UserError: if a store is not what it was, or this is another version of dseld.

    """
    require_version(tiling.version)
    older = tiling.older.opened(store.GramianInfo) if tiling.older else None
    return Atoms(tiling.dictionary.opened(store.DictionaryInfo), set()), older


def made(tile: Tile) -> store.Aside:
    """Make a tile, and set it aside.

    Raises:
        UserError: as `prepared` does, or if atoms are damaged.

    """
    atoms, older = prepared(tile.tiling)
    i, j = tile.key
    corner = _corner(older, tile.key) if older and tile.grows else None
    rows = atoms.block(i)
    columns = rows if j == i else atoms.block(j)  # of one array, NumPy computes half, and a tile that is symmetric
    found = product(rows, columns, corner).astype(tile.tiling.dtype, copy=False)
    return store.set_chunk_aside(tile.folder, found, (tile.tiling.side, tile.tiling.side))


def _corner(older: store.Gramian, key: store.Key) -> Float32 | None:
    """Read a tile as an older Gramian has it; None if it is damaged."""
    try:
        return older.chunk("gramian", key).astype(np.float32, copy=False)
    except StoreDamaged:
        return None


def product(rows: Float32, columns: Float32, known: Float32 | None = None) -> Float32:
    """Inner products (R, C) of atoms (R, N) and (C, N), but for an upper left corner (r, c) that is known."""
    if known is None:
        return rows @ columns.T
    r, c = known.shape
    tile = np.empty((len(rows), len(columns)), rows.dtype)
    tile[:r, :c] = known
    tile[r:] = rows[r:] @ columns.T
    tile[:r, c:] = rows[:r] @ columns[c:].T
    return tile
