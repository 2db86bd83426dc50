"""Products of all atoms with a few vectors, in the type that is cheapest here, and what its rounding costs.

- float32 through NumPy's linear algebra: on any processor, for many vectors at once.
- 16-bit integers of a scale per row: up to twice as fast where there are instructions for it (`integers`). A copy of
  the atoms, kept in memory, is half the bytes to read, which is all that counts for the few vectors of one image. They
  are off by some five-thousandth of an atom, so that the certificate hardly notices.
- bfloat16 through torch, on a GPU and on processors that multiply it sooner still: see `on_torch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca import integers, search
from dseld_cli.lca.atoms import Atoms, scratch
from dseld_cli.lca.block import compiled_for
from dseld_cli.lca.certificate import Precision
from dseld_cli.lca.knots import UNIT
from dseld_cli.runtime.engine import on_all_cores, shares
from dseld_cli.runtime.matrices import product

Float32 = NDArray[np.float32]
Int16 = NDArray[np.int16]

OUTPUT = 3 * UNIT
"""Unit roundoff of products of integers: of a sum as float32, and times two scales, one of which is a power of two."""

FEW = 8
"""Up to so many vectors the time is that of reading the atoms."""

PARTS = 4
"""Parts per core that few products are cut into, so that no core waits long for another."""

SAFETY = 1.001
"""Norms and distances that are measured in float32 are taken to be larger by that."""


def multiplies_integers() -> bool:
    """Whether there are kernels of integers for this processor."""
    return compiled_for("avx2")


class Products(Protocol):
    """All atoms, ready to be multiplied with references (r, N)."""

    @property
    def precision(self) -> Precision:
        """What rounding costs."""

    def __call__(self, references: Float32) -> Iterator[tuple[int, Float32, Float32]]:
        """Yield (first, atoms (rows, N), products (r, rows)), tile by tile."""

    def over(self, atoms: Atoms) -> Products:
        """Products of the same type, of other atoms."""


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
            if len(references) > FEW:
                yield first, block, product(references, block.T)
            else:
                yield first, block, few_products(block, np.ones(len(block), np.float32), references)

    def over(self, atoms: Atoms) -> InFloat32:
        """Products in float32 of other atoms."""
        return InFloat32(atoms)


class InIntegers:
    """Atoms rounded to integers whenever they are multiplied, or once, where a copy is kept."""

    def __init__(self, atoms: Atoms) -> None:
        self.atoms = atoms
        self.scales, self.inverses = (np.empty(atoms.shape[0], np.float32) for _ in range(2))
        self.copy: Int16 | None = None
        norm, rounding = 1.0, 0.0
        for first, block in atoms.whole_blocks():
            here = slice(first, first + len(block))
            found = _measured(block, self.scales[here], self.inverses[here])
            norm, rounding = np.max([(norm, rounding), found], axis=0)  # not a number if one of them is not
        self.precision = Precision(
            SAFETY * float(norm), SAFETY * float(rounding) + 1e-7 * float(norm), OUTPUT, references="int16"
        )

    def kept(self) -> InIntegers:
        """Round the atoms, which are in memory, once and for all."""
        if self.copy is None:
            assert self.atoms.resident is not None
            self.copy = np.empty(self.atoms.shape, np.int16)
            for first, tile in self.atoms.tiles():
                here = slice(first, first + len(tile))
                integers.round_into(tile, self.inverses[here], self.copy[here])
        return self

    def __call__(self, references: Float32) -> Iterator[tuple[int, Float32, Float32]]:
        """Yield (first, atoms (rows, N), products (r, rows)), tile by tile; these until the next ones are asked for."""
        one_by_one = len(references) <= FEW or not multiplies_integers()
        if one_by_one and self.copy is not None and self.atoms.resident is not None:
            yield 0, self.atoms.resident, few_products(self.copy, self.scales, references)
            return
        left = _Left.of(references)
        for first, tile in self.atoms.tiles():
            here = slice(first, first + len(tile))
            yield first, tile, left.times(tile, self.scales[here], self.inverses[here])

    def over(self, atoms: Atoms) -> InIntegers:
        """Products as integers of other atoms, of which a copy is kept if one is of these."""
        return InIntegers(atoms) if self.copy is None else InIntegers(atoms).kept()


@dataclass(frozen=True)
class _Left:
    """The first `rows` of these integers (l, N), times powers of two (l,), are references."""

    rows: int
    integers: Int16
    scales: Float32

    @classmethod
    def of(cls, references: Float32) -> _Left:
        """Round references (r, N), which those of a certificate are already."""
        r, n = references.shape
        rows = np.zeros((r + -r % integers.LEFT, n + -n % integers.FEATURES), np.int16)
        scales, inverses = np.zeros(len(rows), np.float32), np.zeros(len(rows), np.float32)
        integers.measure(references, True, scales, inverses)
        integers.round_into(references, inverses, rows)
        return cls(r, rows, scales)

    def times(self, tile: Float32, scales: Float32, inverses: Float32) -> Float32:
        """Products (r, rows) with a tile, a part of which each core rounds and multiplies."""
        fours, n = -(-len(tile) // integers.RIGHT), self.integers.shape[1]
        shape = len(self.integers), fours * integers.RIGHT
        found = scratch("products", shape[0] * shape[1]).reshape(shape)

        def part(some: slice) -> None:
            here = slice(integers.RIGHT * some.start, integers.RIGHT * some.stop)
            size = here.stop - here.start
            right = scratch("integers", size * n // 2).view(np.int16).reshape(size, n)
            integers.round_into(tile[here], inverses[here], right)
            padded = np.zeros(size, np.float32)
            padded[: len(scales[here])] = scales[here]
            integers.multiply(self.integers, self.scales, right, padded, found[:, here])

        on_all_cores(part, shares(fours))
        return np.ascontiguousarray(found[: self.rows, : len(tile)])


def _measured(rows: Float32, scales: Float32, inverses: Float32) -> tuple[float, float]:
    """Write the scales of rows, on all cores; their largest norm, and largest distance from themselves rounded."""
    found = on_all_cores(
        lambda part: integers.measure(rows[part], False, scales[part], inverses[part]), shares(len(rows))
    )
    norm, rounding = np.max(found, axis=0)
    return float(norm), float(rounding)


def largest_norm(rows: Float32) -> float:
    """Largest norm of rows (m, N); not a number if one of them is not."""
    return float(np.sqrt(np.einsum("mn,mn->m", rows, rows).max(initial=0.0)))


def few_products(rows: Float32 | Int16, scales: Float32, references: Float32) -> Float32:
    """Products (r, m) of rows (m, N) times scales (m,) with few references (r, N), reading each row once."""
    products = np.empty((len(references), len(rows)), np.float32)

    def part(here: slice) -> None:
        search.multiply(rows[here], scales[here], references, products[:, here])

    on_all_cores(part, shares(len(rows), PARTS))
    return products
