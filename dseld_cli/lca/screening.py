"""What the working-set encoder does with every atom: find those of largest |b|, and those that may yet fire.

Atoms come block by block, and of the products of all atoms with all images only a tile exists at a time: what is kept
is a running selection of the strongest (`Strongest`). On the processor a tile is searched by `kernels`, elsewhere by
the same comparisons in torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dseld_cli.lca import kernels
from dseld_cli.lca.certificate import KNOTS, MAX_REFERENCES, Certificate, Precision
from dseld_cli.lca.inhibition import AtomBlocks

Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]

TILE = 2048
"""Atoms screened at a time: their products with a batch stay in the processor's cache."""


@dataclass
class Strongest:
    """Running selection of the highest-scoring atoms of B images.

    `ids` and `scores` (B, 2 keep) hold `counts` (B,) of them each, the `keep` best among them; `floors` (B,) are the
    scores up to which nothing is worth adding.
    """

    ids: Int64
    scores: Float32
    counts: Int64
    floors: Float32

    @classmethod
    def empty(cls, batch: int, keep: int, floor: float) -> Strongest:
        """Nothing selected yet; scores up to `floor` never will be."""
        ids, scores = np.zeros((batch, 2 * keep), np.int64), np.zeros((batch, 2 * keep), np.float32)
        return cls(ids, scores, np.zeros(batch, np.int64), np.full(batch, floor, np.float32))

    def add(self, scores: Tensor, first: int) -> None:
        """Merge the scores (B, rows) of atoms first, first + 1, ...; -inf is no candidate."""
        best = scores.topk(min(scores.shape[1], self.ids.shape[1] // 2), dim=1)
        found, atoms = best.values.cpu().numpy(), best.indices.cpu().numpy() + first
        for i in range(len(found)):
            for atom, score in zip(atoms[i], found[i], strict=True):
                if not score > self.floors[i]:
                    break
                self.counts[i], self.floors[i] = kernels.keep(
                    self.ids[i], self.scores[i], self.counts[i], self.floors[i], atom, score
                )

    def best(self, i: int, most: int) -> Int64:
        """Up to `most` atoms of image i, highest scores first."""
        count = self.counts[i]
        return self.ids[i, :count][np.argsort(-self.scores[i, :count], kind="stable")[:most]]


@dataclass(frozen=True)
class Skipped:
    """Atoms each image does not ask about: image i's are `atoms[indptr[i]:indptr[i + 1]]`, rising."""

    indptr: Int64
    atoms: Int64

    @classmethod
    def of(cls, parts: Sequence[Int64]) -> Skipped:
        """Collect the atoms of all images, rising in each."""
        return cls(*ragged(parts))

    def mask(self, first: int, rows: int) -> Tensor:
        """Whether atoms first, first + 1, ... are skipped, (B, rows)."""
        image = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        here = (self.atoms >= first) & (self.atoms < first + rows)
        mask = torch.zeros((len(self.indptr) - 1, rows), dtype=torch.bool)
        mask[torch.from_numpy(image[here]), torch.from_numpy(self.atoms[here] - first)] = True
        return mask


def ragged(parts: Sequence[Int64]) -> tuple[Int64, Int64]:
    """Rows of different length as (indptr, values)."""
    indptr = np.cumsum([0] + [len(part) for part in parts])
    return indptr, np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64)


def tiles(atoms: AtomBlocks) -> Iterator[tuple[int, Tensor]]:
    """All atoms in order, TILE at a time: (first, atoms (rows, N))."""
    for rows, block in atoms():
        for start in range(0, len(block), TILE):
            yield rows.start + start, block[start : start + TILE]


def screening_dtype(device: torch.device) -> torch.dtype:
    """Type for products that are only a first look: bfloat16 where the processor multiplies it natively."""
    native = device.type == "cuda" or getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
    return torch.bfloat16 if native else torch.float32


def compiled(device: torch.device) -> bool:
    """Whether tiles on this device are searched by the compiled kernels."""
    return device.type == "cpu"


def strongest(
    features: Tensor, atoms: AtomBlocks, keep: int, floor: float, skipped: Skipped
) -> tuple[Strongest, Precision, float]:
    """Find the `keep` atoms of largest |b| (> floor) of every image, more or less.

    Returns them, what rounding the atoms costs, and how many full passes over the atoms an image this was.
    """
    dtype = screening_dtype(features.device)
    selection = Strongest.empty(len(features), keep, floor)
    basis = common_directions(features)  # (d, N)
    shared = len(features) > 2 * len(basis)
    s = (features @ basis.T if shared else features).to(dtype)
    norm, rounding, basis = 0.0, 0.0, basis.to(dtype)
    for first, block in tiles(atoms):
        rounded = block.to(dtype)
        norm = max(norm, float(torch.linalg.vector_norm(block, dim=1).max()))
        rounding = max(rounding, float(torch.linalg.vector_norm(block - rounded, dim=1).max()))
        products = (s @ (rounded @ basis.T if shared else rounded).T).float()  # (B, rows)
        collect_strongest(selection, products, first, skipped)
    passes = len(basis) / len(features) + len(basis) / features.shape[1] if shared else 1.0
    return selection, Precision(dtype, 1.001 * norm, 1.001 * rounding), passes


def common_directions(features: Tensor) -> Tensor:
    """Orthonormal rows (d, N) near which all images S (B, N) lie: one power iteration from N / 8 of them.

    Enough to guess the largest b from S projected: that costs an eighth of a pass, and nine tenths of them are right.
    """
    d = features.shape[1] // 8
    some = features[:: max(1, len(features) // max(d, 1))][:d]
    basis: Tensor = torch.linalg.qr(features.T @ (features @ some.T))[0].T
    return basis


def collect_strongest(selection: Strongest, products: Tensor, first: int, skipped: Skipped) -> None:
    """Add a tile's atoms by |product|, products (B, rows)."""
    if compiled(products.device):
        kernels.collect_strongest(
            products.numpy(), first, skipped.indptr, skipped.atoms,
            selection.ids, selection.scores, selection.counts, selection.floors,
        )  # fmt: skip
    else:
        mask = skipped.mask(first, products.shape[1]).to(products.device)
        selection.add(products.abs().masked_fill(mask, -torch.inf), first)


@dataclass(frozen=True)
class Bounds:
    """Certificates of B images, stacked (see `Certificate`): image i's references are indptr[i] to indptr[i + 1]."""

    references: Tensor
    indptr: Int64
    weights: Tensor
    relative: Tensor
    room: Tensor
    knots: Tensor
    exact_room: Tensor

    @classmethod
    def of(cls, certificates: Sequence[Certificate], device: torch.device) -> Bounds:
        """Stack certificates on a device."""
        indptr = np.cumsum([0] + [len(c.references) for c in certificates])
        parts = (
            torch.from_numpy(np.stack([getattr(c, name) for c in certificates])).to(device)
            for name in ("weights", "relative", "room", "knots", "exact_room")
        )
        return cls(torch.cat([c.references for c in certificates]).to(device), indptr, *parts)


def screen(
    certificates: Sequence[Certificate], atoms: AtomBlocks, keep: int, precision: Precision, skipped: Skipped,
    device: torch.device,
) -> tuple[Strongest, Int64]:  # fmt: skip
    """Put every certificate to every atom: `keep` of those it does not prove silent, and how many they are (B,)."""
    violators, found = Strongest.empty(len(certificates), keep, -np.inf), np.zeros(len(certificates), np.int64)
    if not certificates:
        return violators, found
    bounds = Bounds.of(certificates, device)
    for first, block in tiles(atoms):
        products = (bounds.references @ block.to(precision.dtype).T).float()  # (R, rows)
        if compiled(device):
            kernels.collect_violators(
                products.numpy(), block.numpy(), first, bounds.indptr, bounds.weights.numpy(), bounds.relative.numpy(),
                bounds.room.numpy(), bounds.knots.numpy(), bounds.exact_room.numpy(), skipped.indptr, skipped.atoms,
                violators.ids, violators.scores, violators.counts, violators.floors, found,
            )  # fmt: skip
        else:
            scores = excess(bounds, products, block, skipped.mask(first, len(block)).to(device))
            found += (scores > -torch.inf).sum(dim=1).cpu().numpy()
            violators.add(scores, first)
    return violators, found


def excess(bounds: Bounds, products: Tensor, block: Tensor, mask: Tensor) -> Tensor:
    """How far a tile's unproved atoms exceed what is allowed, (B, rows): -inf for all proved or masked ones."""
    p = products.new_zeros((len(bounds.room), MAX_REFERENCES, len(block)))
    image = np.repeat(np.arange(len(bounds.room)), np.diff(bounds.indptr))
    p[torch.from_numpy(image), torch.from_numpy(np.arange(len(image)) - bounds.indptr[image])] = products
    largest = p.abs().amax(dim=1)  # (B, rows)
    proved = torch.ones_like(mask)
    for c in range(KNOTS):
        estimate = torch.einsum("br,brm->bm", bounds.weights[:, c], p).abs()
        proved &= estimate + bounds.relative[:, c, None] * largest < bounds.room[:, c, None]
    images, rows = (~proved & ~mask).nonzero(as_tuple=True)
    over = torch.einsum("pn,pcn->pc", block[rows], bounds.knots[images]).abs() - bounds.exact_room[images]
    over = over.amax(dim=1).nan_to_num(nan=torch.inf)
    scores = torch.full_like(largest, -torch.inf)
    scores[images, rows] = torch.where(over < 0, -torch.inf, over)
    return scores
