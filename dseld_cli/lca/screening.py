"""What the working-set encoder does with every atom: find those of largest |b|, and those that may yet fire.

Atoms come tile by tile, and of the products of all atoms with all images only a tile exists at a time: what is kept
is a running selection of the strongest (`Strongest`).

A *sketch* of the dictionary, its projection on N / 4 directions in which atoms differ most, is right about b, and about
who might fire, to some hundredths of lambda, at a quarter of a product. It proves nothing: it chooses whom to
simulate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca import search
from dseld_cli.lca.atoms import TILE, Atoms
from dseld_cli.lca.certificate import Certificates
from dseld_cli.lca.products import FEW, InFloat32, InIntegers, Products, multiplies_integers
from dseld_cli.runtime.engine import on_all_cores, processor_has, shares, threads_per_operation
from dseld_cli.runtime.matrices import product

if TYPE_CHECKING:
    from dseld_cli.lca.on_torch import OnTorch

Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]

WORTHWHILE = 64
"""Images, this batch's included, from which on preparations pay: a sketch costs N / 4 products, a copy some two."""

SKETCHED = 4
"""Features per direction of a sketch. Five and eight leave more images to be screened twice."""

REFERENCES = 3
"""Products with all atoms that an image takes, about."""

KNOWN = 2
"""Products of a watched atom that are kept: few images have more references."""

PROBED = 10**11
"""Multiplications to come from which on it pays to see how fast integers are: a second's worth of float32."""

TORCH_WORTHWHILE = 10**12
"""Multiplications to come from which on it pays to load torch, which takes seconds, for processors with AMX."""

FASTER = 1.2
"""So much have integers to be faster: the types do not prove the same at the same cost, and runs are to be alike."""

PROBE = 384
"""References that are multiplied to see that."""


@dataclass(frozen=True)
class Watched:
    """Atoms (n,) that came near to lambda, their excesses (n,), and their products (n, .) with the first references."""

    atoms: Int64
    excess: Float32
    known: Float32

    @classmethod
    def none(cls) -> Watched:
        """Nobody."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 0), np.float32))


@dataclass
class Strongest:
    """Running selection of the highest-scoring atoms of B images.

    `ids` and `scores` (B, 2 keep) hold `counts` (B,) of them each, the `keep` best among them, and `known` (B, 2 keep,
    .) their first products with the references; `floors` (B,) are the scores up to which atoms may be missing.
    """

    ids: Int64
    scores: Float32
    known: Float32
    counts: Int64
    floors: Float32

    @classmethod
    def empty(cls, batch: int, keep: int, floor: float, products: int = 0) -> Strongest:
        """Nothing selected yet; scores up to `floor` never will be. So many products of each atom are kept."""
        ids, scores = np.zeros((batch, 2 * keep), np.int64), np.zeros((batch, 2 * keep), np.float32)
        known = np.zeros((batch, 2 * keep, products), np.float32)
        return cls(ids, scores, known, np.zeros(batch, np.int64), np.full(batch, floor, np.float32))

    def of(self, i: int) -> tuple[Int64, Float32]:
        """Atoms of image i with their scores, highest first; of equal ones the first atom first."""
        ids, scores = self.ids[i, : self.counts[i]], self.scores[i, : self.counts[i]]
        order = np.lexsort((ids, -scores))
        return ids[order], scores[order]

    def watched(self, i: int) -> Watched:
        """Atoms of image i in no order, to be looked at again."""
        here = slice(0, self.counts[i])
        return Watched(self.ids[i, here].copy(), self.scores[i, here].copy(), self.known[i, here].copy())


@dataclass(frozen=True)
class Ragged:
    """Rows of different length: row i is `values[indptr[i]:indptr[i + 1]]`."""

    indptr: Int64
    values: Int64

    @classmethod
    def of(cls, parts: Sequence[Int64]) -> Ragged:
        """Join rows."""
        indptr = np.cumsum([0] + [len(part) for part in parts])
        return cls(indptr, np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64))


@dataclass(frozen=True)
class Sketch:
    """Atoms projected on orthonormal rows `basis` (d, N): `projected` (M, d), and `multiplied` as the atoms are."""

    basis: Float32
    projected: Float32
    multiplied: dict[Products, Products] = field(default_factory=dict)

    @classmethod
    def of(cls, atoms: Atoms) -> Sketch:
        """Project on the directions of TILE atoms from all over, by one power iteration.

        Atoms often stand in the order of their classes: the first ones would know one of these alone.
        """
        sample = atoms.every(-(-atoms.shape[0] // TILE))
        d = min(len(sample), max(1, atoms.shape[1] // SKETCHED))
        some = sample[:: len(sample) // d][:d]
        with threads_per_operation(1):
            basis = np.linalg.qr(product(sample.T, product(sample, some.T)))[0].T.astype(np.float32)
        projected = np.empty((atoms.shape[0], len(basis)), np.float32)
        for first, block in atoms.tiles():
            projected[first : first + len(block)] = product(block, basis.T)
        return cls(basis, projected)

    def products(self, references: Float32, products: Products) -> Iterator[tuple[int, Float32]]:
        """Yield (first, products (r, rows)) with references (r, N), of the type of the atoms' own."""
        if products not in self.multiplied:
            self.multiplied[products] = products.over(Atoms.of(self.projected))
        tiles = self.multiplied[products](product(references, self.basis.T))
        return ((first, tile) for first, _, tile in tiles)

    @property
    def cost(self) -> float:
        """What a product with all projected atoms costs, in products with all atoms."""
        return len(self.basis) / int(self.basis.shape[1])


class Screen:
    """All atoms, and what was prepared to multiply with them fast; see `products`."""

    def __init__(self, atoms: Atoms, device: str = "cpu", rounded: bool | None = None, images: int = 0) -> None:
        self.atoms, self.device, self.rounded = atoms, device, rounded
        self.expected, self.seen = images, 0
        self.sketch: Sketch | None = None
        self.in_float32 = InFloat32(atoms)
        self.on_torch: OnTorch | None = None

    def prepare(self, batch: int) -> Products:
        """Make what pays for so many images more, and choose the type of their products."""
        self.seen += batch
        prepared, few = max(self.seen, self.expected) >= WORTHWHILE and self.atoms.shape[0] > TILE, 4 * batch <= FEW
        if prepared and self.sketch is None:
            self.sketch = Sketch.of(self.atoms)
        if self.device != "cpu":
            return self._by_torch()
        if not few and self.rounded is not False:
            return self._many()
        if prepared and few and self.atoms.resident is not None:
            return self.in_integers.kept()
        return self.in_float32

    def _many(self) -> Products:
        """Choose the type of products with many references: integers where those are faster, or asked for."""
        work = REFERENCES * max(self.seen, self.expected) * self.atoms.shape[0] * self.atoms.shape[1]
        if processor_has("amx_bf16") and work > TORCH_WORTHWHILE:
            return self._by_torch()
        if self.rounded is None and work > PROBED:
            self.rounded = multiplies_integers() and self._integers_are_faster()
        if self.rounded:
            return self.in_integers if multiplies_integers() else self._by_torch()
        return self.in_float32

    @cached_property
    def in_integers(self) -> InIntegers:
        """Atoms as integers, once their scales are measured."""
        return InIntegers(self.atoms)

    def _integers_are_faster(self) -> bool:
        """Whether a tile is multiplied faster than in float32, and not by chance: processors differ."""
        _, rows = next(iter(self.atoms.tiles()))
        ours, others = (products.over(Atoms.of(rows)) for products in (self.in_integers, self.in_float32))
        return FASTER * seconds(lambda: list(ours(rows[:PROBE]))) < seconds(lambda: list(others(rows[:PROBE])))

    def _by_torch(self) -> OnTorch:
        if self.on_torch is None:
            from dseld_cli.lca.on_torch import OnTorch

            self.on_torch = OnTorch(self.atoms, self.device)
        return self.on_torch

    def strongest(
        self, features: Float32, keep: int, floor: float, excluded: Ragged, products: Products
    ) -> tuple[Strongest, float]:
        """Find the `keep` atoms of largest |b| (> floor) of every image, more or less; and the products it took."""
        found = Strongest.empty(len(features), keep, floor)
        if self.sketch:
            looks = self.sketch.products(features, products)
        else:
            looks = ((first, tile) for first, _, tile in products(features))
        for first, tile in looks:
            _each(
                len(features), search.collect_strongest, tile, first, excluded.indptr, excluded.values,
                found.ids, found.scores, found.known, found.counts, found.floors,
            )  # fmt: skip
        return found, self.sketch.cost if self.sketch else 1.0

    def guess(
        self, certificates: Certificates, asking: Int64, keep: int, floor: float, skip: Ragged, products: Products
    ) -> Strongest:
        """Ask the sketch which atoms certificates may not prove silent: their scores are excesses, more or less."""
        assert self.sketch is not None
        found = Strongest.empty(len(asking), keep, floor)
        references, indptr = certificates.packed(asking)
        none = np.zeros((0, self.atoms.shape[1]), np.float32)
        for first, tile in self.sketch.products(references, products):
            _collect_near(certificates, asking, tile, first, indptr, none, 0.0, skip, found)
        return found

    def near(
        self, certificates: Certificates, asking: Int64, keep: int, floor: float, open_from: float, skip: Ragged,
        products: Products,
    ) -> Strongest:  # fmt: skip
        """Put certificates `asking` to every atom: those nearest to lambda, by their excess; negative if proved."""
        found = Strongest.empty(len(asking), keep, floor, KNOWN)
        references, indptr = certificates.packed(asking)
        for first, block, tile in products(references):
            _collect_near(certificates, asking, tile, first, indptr, block, open_from, skip, found)
        return found


def seconds(work: Callable[[], object]) -> float:
    """Shortest of three runs, after one."""
    taken = []
    for _ in range(4):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


def _collect_near(
    c: Certificates,
    asking: Int64,
    tile: Float32,
    first: int,
    indptr: Int64,
    block: Float32,
    open_from: float,
    skip: Ragged,
    found: Strongest,
) -> None:
    _each(
        len(asking), search.collect_near, asking, np.ascontiguousarray(tile), first, indptr, c.weights, c.relative,
        c.room, block, c.knots, c.exact_room, open_from, skip.indptr, skip.values, found.ids, found.scores,
        found.known, found.counts, found.floors,
    )  # fmt: skip


def _each(images: int, kernel: Callable[..., None], *arguments: object) -> None:
    """Run a kernel on slices of the images, one per core."""
    on_all_cores(lambda part: kernel(part.start, part.stop, *arguments), shares(images))
