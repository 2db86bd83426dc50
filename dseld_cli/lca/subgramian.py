"""Inner products of the atoms of a working set, G[W, W]: looked up in the stored Gramian, or computed from the atoms.

A working set only ever grows, and its matrix with it: what is known stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca.atoms import ALIGNED, LINE, Rows, on_lines, scratch
from dseld_cli.lca.block import compiled_for
from dseld_cli.lca.compiled import compiled
from dseld_cli.lca.inhibition import GramianTiles
from dseld_cli.lca.inner import COLUMNS, ROWS, products_of_few
from dseld_cli.lca.load import load16, load32

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

PANEL = 48
"""Rows of a working set that stay in the processor's cache; a multiple of both ROWS and COLUMNS."""

LONG = 1400 if compiled_for("avx512f") else 900
"""Features from which on an inner product takes longer than to look it up, in a command that codes some thousand images
and touches the stored Gramian for the first time: measured on two processors."""


@dataclass
class WorkingSet:
    """Atoms W (w,) in the order in which they joined; driving input b, and G, of the first of them, (v,) and (v, .).

    Behind a row of G there may be zeros.
    """

    atoms: Int64
    b: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    gram: Float32 = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def __len__(self) -> int:
        return len(self.atoms)

    def grown(self) -> Float32:
        """Room for all of G[W, W], with what is known of it; each row ends with a cache line, filled up with zeros."""
        known, w = len(self.gram), len(self.atoms)
        gram = on_lines(w, w + -w % LINE)
        gram[:known, :known] = self.gram[:, :known]
        gram[:, w:] = 0
        return gram


def from_atoms(working_set: WorkingSet, rows: Rows) -> None:
    """Complete G[W, W] by multiplying the atoms."""
    known, w = len(working_set.gram), len(working_set)
    if known == w:
        return
    places = rows.places(working_set.atoms)
    places = np.concatenate([places, np.full(-w % ALIGNED, places[0])])  # no edges: what is too much is not looked at
    found = scratch("found", len(places) ** 2).reshape(len(places), len(places))
    multiply(rows.rows, places, known, w, found)
    gram = working_set.grown()
    mirror(found, known, gram)
    working_set.gram = gram


@compiled
def multiply(rows: Float32, places: Int64, known: int, w: int, found: Float32) -> None:
    """Write the products of the first w of rows[places], on and below the diagonal; `places` (m,), m of ALIGNED.

    Those of the first `known` are not missing. Half of what a product of matrices computes is spared, and no row is
    copied: so it is sooner than theirs.
    """
    for panel in range(0, w, PANEL):
        for p in range(max(known, panel) // ROWS * ROWS, w, ROWS):
            for q in range(panel, min(panel + PANEL, p + ROWS), COLUMNS):
                products_of_few(rows, places, p, rows, places, q, found)


@compiled
def mirror(found: Float32, known: int, gram: Float32) -> None:
    """Complete gram (w, w), of which the first `known` rows and columns are there, from what is below the diagonal."""
    for p in range(known, len(gram)):
        for q in range(p + 1):
            gram[p, q] = found[p, q]
    for p in range(len(gram)):
        for q in range(max(p + 1, known), len(gram)):
            gram[p, q] = gram[q, p]


class StoredGramian:
    """A Gramian whose tiles are in memory, or mapped into it: single entries of it are looked up.

    Attributes:
        tiles: on and below the diagonal, of float32 or float16; kept, as nothing else keeps their memory.
        starts: the first atom of every row of tiles, and of every column, rising (T,).
        addresses: of each tile's first entry, (T, T).
        strides: bytes from a row of a tile to the next, (T, T).
        half: whether entries are float16.

    """

    def __init__(self, tiles: GramianTiles) -> None:
        self.tiles = [(rows.start, columns.start, np.asarray(tile)) for rows, columns, tile in tiles()]
        self.starts = np.unique([row for row, _, _ in self.tiles])
        number = {int(start): i for i, start in enumerate(self.starts)}
        self.addresses = np.zeros((len(number), len(number)), np.uint64)
        self.strides = np.zeros((len(number), len(number)), np.int64)
        self.half = self.tiles[0][2].dtype == np.float16
        for row, column, tile in self.tiles:
            i, j = number[row], number[column]
            self.addresses[i, j] = tile.__array_interface__["data"][0]
            self.strides[i, j] = tile.strides[0]


def from_store(working_set: WorkingSet, gramian: StoredGramian) -> None:
    """Complete G[W, W] by looking it up."""
    w = len(working_set)
    if len(working_set.gram) == w:
        return
    order = np.argsort(working_set.atoms)
    atoms = working_set.atoms[order]
    tile = np.searchsorted(gramian.starts, atoms, side="right") - 1
    found = scratch("found", w * w).view(np.uint32).reshape(w, w)
    look_up(
        atoms - gramian.starts[tile], tile, order, len(working_set.gram), gramian.addresses, gramian.strides,
        gramian.half, found,
    )  # fmt: skip
    gram, factor = working_set.grown(), np.float32(2.0**112 if gramian.half else 1)
    in_order(found.view(np.float32), factor, np.argsort(order), len(working_set.gram), gram)
    working_set.gram = gram


@compiled
def look_up(
    within: Int64, tile: Int64, joined: Int64, known: int, addresses: NDArray[np.uint64], strides: Int64, half: bool,
    found: NDArray[np.uint32],
) -> None:  # fmt: skip
    """Write the bits of G[W, W] on and below the diagonal, atoms rising, but for what is known of it.

    Atom p of W (w,) is at within[p] of row tile[p] of tiles, and joined as the joined[p]-th: between the first `known`
    nothing is missing. Those of float16 come out 2^112 times too small: their exponent is of another bias.

    Each entry is a miss of all caches, some hundred nanoseconds. A loop that does nothing but load has many under way
    at a time, and takes a fifth of what it does with other work in between: so addresses come first, and a row of which
    all is missing is loaded without asking where each entry belongs.
    """
    everyone, new = np.arange(len(within)), np.nonzero(joined >= known)[0]
    address = np.empty(len(within), np.uint64)
    width = 2 if half else 4
    for p in range(len(within)):
        whole = joined[p] >= known
        columns = everyone if whole else new
        n = 0
        while n < len(columns) and columns[n] <= p:
            q = columns[n]
            offset = within[p] * strides[tile[p], tile[q]] + width * within[q]
            address[n] = addresses[tile[p], tile[q]] + np.uint64(offset)
            n += 1
        row = found[p]
        if half:
            for e in range(n):
                bits = load16(address[e])
                row[columns[e]] = (bits & 0x8000) << 16 | (bits & 0x7FFF) << 13
        elif whole:
            for e in range(n):
                row[e] = load32(address[e])
        else:
            for e in range(n):
                row[columns[e]] = load32(address[e])


@compiled
def in_order(rising: Float32, factor: np.float32, ranks: Int64, known: int, gram: Float32) -> None:
    """As `mirror`, from what is below the diagonal where atoms rise: the one that joined as p-th is ranks[p] there."""
    for p in range(known, len(gram)):
        for q in range(p + 1):
            gram[p, q] = factor * rising[max(ranks[p], ranks[q]), min(ranks[p], ranks[q])]
    for p in range(len(gram)):
        for q in range(max(p + 1, known), len(gram)):
            gram[p, q] = gram[q, p]
