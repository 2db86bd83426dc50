"""Products of all atoms with a few vectors, in the type that is cheapest here, and what its rounding costs.

- float32 through NumPy's linear algebra: on any processor, for many vectors at once.
- 16-bit integers of a scale per atom, beside the atoms in memory: half the bytes to read, which is all that counts for
  the few vectors of one image. They are off by a twenty-thousandth of an atom, so that the certificate hardly notices.
- bfloat16 where the processor has instructions for it (`bfloat16`): twice as fast as float32 on some.
- bfloat16 on processors that do still better, with torch, or a GPU: see `on_torch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca import search
from dseld_cli.lca.atoms import TILE, Atoms, scratch
from dseld_cli.lca.certificate import Precision
from dseld_cli.runtime.engine import on_all_cores, shares
from dseld_cli.runtime.matrices import product

Float32 = NDArray[np.float32]

FEW = 8
"""Up to so many vectors the time is that of reading the atoms."""

PARTS = 4
"""Parts per core that few products are cut into, so that no core waits long for another."""

SAFETY = 1.001
"""Norms and distances that are measured in float32 are taken to be larger by that."""


class Products(Protocol):
    """All atoms, ready to be multiplied with references (r, N)."""

    @property
    def precision(self) -> Precision:
        """What rounding costs."""

    def __call__(self, references: Float32) -> Iterator[tuple[int, Float32, Float32]]:
        """Yield (first, atoms (rows, N), products (r, rows)), tile by tile."""

    def sketched(self, references: Float32, tile: Float32) -> Float32:
        """Products (r, rows) of anything else, (rows, d) with references (r, d), for a first look."""


class InFloat32:
    """Atoms as they are."""

    def __init__(self, atoms: Atoms) -> None:
        self.atoms = atoms

    @cached_property
    def precision(self) -> Precision:
        """What rounding costs: nothing but that of sums."""
        return Precision(SAFETY * max((largest_norm(block) for _, block in self.atoms.tiles()), default=1.0))

    def __call__(self, references: Float32) -> Iterator[tuple[int, Float32, Float32]]:
        """Yield (first, atoms (rows, N), products (r, rows)), by tiles, or by blocks for few references."""
        for first, block in self.atoms.tiles() if len(references) > FEW else self.atoms.whole_blocks():
            yield first, block, self.sketched(references, block)

    def sketched(self, references: Float32, tile: Float32) -> Float32:
        """Products (r, rows) of a tile."""
        if len(references) > FEW:
            found: Float32 = product(references, tile.T)
            return found
        return few_products(tile, np.ones(len(tile), np.float32), references)


class InIntegers:
    """Atoms in memory, and a copy of half the size: integers up to 32767 times a scale per atom."""

    def __init__(self, atoms: Float32) -> None:
        self.atoms = atoms
        self.copy = np.empty(atoms.shape, np.int16)
        self.scales = np.empty(len(atoms), np.float32)
        norm, rounding = 1.0, 0.0
        for start in range(0, len(atoms), TILE):
            rows, part = atoms[start : start + TILE], slice(start, start + TILE)
            self.scales[part] = np.maximum(np.abs(rows).max(axis=1), 1e-30) / 32767
            scales = self.scales[part, None]
            self.copy[part] = np.rint(rows / scales)
            norm = max(norm, largest_norm(rows))
            rounding = max(rounding, largest_norm(rows - self.copy[part] * scales))
        self.precision = Precision(SAFETY * norm, SAFETY * rounding + 1e-7 * norm)

    def __call__(self, references: Float32) -> Iterator[tuple[int, Float32, Float32]]:
        """Yield (0, all atoms (M, N), products (r, M))."""
        yield 0, self.atoms, few_products(self.copy, self.scales, references)

    def sketched(self, references: Float32, tile: Float32) -> Float32:
        """Products (r, rows) of a tile."""
        return few_products(tile, np.ones(len(tile), np.float32), references)


class InBfloat16:
    """Atoms rounded to bfloat16 whenever they are multiplied, with sums in float32; see `block.has_bfloat16`."""

    def __init__(self, atoms: Atoms) -> None:
        from dseld_cli.lca import bfloat16

        self.atoms, self.kernels = atoms, bfloat16

    @cached_property
    def precision(self) -> Precision:
        """What rounding costs."""
        found = [largest for _, block in self.atoms.whole_blocks() for largest in self._largest(block)]
        norm, rounding = np.max([(1.0, 0.0), *found], axis=0)
        return Precision(SAFETY * float(norm), SAFETY * float(rounding), half=True)

    def __call__(self, references: Float32) -> Iterator[tuple[int, Float32, Float32]]:
        """Yield (first, atoms (rows, N), products (r, rows)), tile by tile; these until the next ones are asked for."""
        left = self.kernels.rounded(references, self.kernels.LEFT)
        for first, block in self.atoms.tiles():
            yield first, block, self._multiplied(left, block)[: len(references)]

    def sketched(self, references: Float32, tile: Float32) -> Float32:
        """Products (r, rows) of a tile, until others are asked for."""
        return self._multiplied(self.kernels.rounded(references, self.kernels.LEFT), tile)[: len(references)]

    def _multiplied(self, left: NDArray[np.uint16], tile: Float32) -> Float32:
        """Multiply a part of the tile on each core."""
        multiple = self.kernels.RIGHT
        rows = len(tile) + -len(tile) % multiple
        found = scratch("products", len(left) * rows).reshape(len(left), rows)

        def part(quads: slice) -> None:
            here = slice(multiple * quads.start, multiple * quads.stop)
            bits = scratch("rounded", (here.stop - here.start) * left.shape[1] // 2).view(np.uint16)
            right = bits.reshape(here.stop - here.start, left.shape[1])
            self.kernels.round_into(tile[here], right)
            self.kernels.multiply(left, right, found[:, here])

        on_all_cores(part, shares(rows // multiple))
        return np.ascontiguousarray(found[:, : len(tile)])

    def _largest(self, block: Float32) -> list[tuple[float, float]]:
        return on_all_cores(lambda part: self.kernels.largest(block[part]), shares(len(block)))


def largest_norm(rows: Float32) -> float:
    """Largest norm of rows (m, N); not a number if one of them is not."""
    return float(np.sqrt(np.einsum("mn,mn->m", rows, rows).max(initial=0.0)))


def few_products(rows: NDArray[np.float32] | NDArray[np.int16], scales: Float32, references: Float32) -> Float32:
    """Products (r, m) of rows (m, N) times scales (m,) with few references (r, N), reading each row once."""
    products = np.empty((len(references), len(rows)), np.float32)

    def part(here: slice) -> None:
        search.multiply(rows[here], scales[here], references, products[:, here])

    on_all_cores(part, shares(len(rows), PARTS))
    return products
