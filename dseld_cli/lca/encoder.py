"""The one way to encode: features (B, N) over unit-norm atoms (M, N) to K-step LCA codes. Arrays in, arrays out.

    encoder = Encoder(atoms, LCAParams(lambda_=2.0))
    result = encoder.encode(features)
    result.codes.to_scipy(len(atoms))

Two methods give the same code, save for rounding: the recurrence of all neurons ("direct"), and that of few, with a
proof that all others are silent ("working-set", see `working_set`). The second is some hundred times faster over a
large dictionary. Over one as small as SMALL, the first is at least as fast, as it has nothing to load and nothing to
compile: there it stands in for the second.

A code depends on the image, the atoms, the parameters and the method: on nothing else, to the last bit, neither on the
number of threads nor, where it is proved, on its batch. (From a stored Gramian it differs in rounding: products were
summed otherwise.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dseld_cli.errors import Diverged
from dseld_cli.lca.atoms import TILE, Atoms
from dseld_cli.lca.codes import SparseCodes
from dseld_cli.lca.inhibition import GramianTiles, Multiply, driving_input, exclude, through_atoms, through_gramian
from dseld_cli.lca.recurrence import Array, LCAParams, Response, run_lca, unstable
from dseld_cli.lca.report import Report
from dseld_cli.runtime.engine import cores, on_all_cores
from dseld_cli.runtime.matrices import product

if TYPE_CHECKING:
    from dseld_cli.lca.working_set import WorkingSets

Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Method = Literal["working-set", "direct"]

BATCH = 1000
"""Images worked on together at most: more are no faster."""

SMALL = 10**7
"""M N K up to which all neurons are simulated: some 3 ms per image on one core."""

SMALL_BLOCKS = (16, 8, 4)
"""Images of a small problem in one product: always so many, so that no image's bits depend on how many there are."""

SMALL_AT_ONCE = 64
"""Images of a small problem side by side, at most: what is done to each neuron alone is done to all of theirs."""

FEW_STEPS = 3
"""Up to so many steps the direct form needs no more products than the working set's."""

DIRECT_ELEMENTS = 2**24
"""Membrane potentials that the direct form holds at a time."""

DIRECT_ARRAYS = 8
"""Arrays of that size alive at once in one of its steps, temporaries included."""

UNIT_NORM_TOLERANCE = 1e-5


@dataclass(frozen=True)
class EncodeResult:
    """Codes of B images; `energy` (B, K + 1) is E(a[k]) - E(0), as in `Response`; `report` is what they cost."""

    codes: SparseCodes
    energy: NDArray[np.float64]
    report: Report

    @classmethod
    def concatenate(cls, parts: Sequence[EncodeResult]) -> EncodeResult:
        """Join the results of consecutive batches (at least one)."""
        return cls(
            SparseCodes.concatenate([part.codes for part in parts]),
            np.concatenate([part.energy for part in parts]),
            Report.concatenate([part.report for part in parts]),
        )


class Encoder:
    """Codes any number of images over one dictionary; what pays for many of them is prepared once, and kept.

    Args:
        atoms: (M, N) float32 of unit L2 norm (rows of zeros are allowed: such a neuron never fires), or `Atoms` that
            are read block by block.
        params: lambda, tau and the number of steps.
        gramian: tiles of the atoms' Gramian, to look inner products up in; without it they are computed.
        method: see the head of this module.
        device: "cpu", or "cuda" for the products with all atoms.
        images: how many are going to be coded in all, if that is known: it tells what pays to be prepared.
        rounded: whether all atoms are multiplied with many images as 16-bit numbers, which changes no code; None: where
            it is faster.
        batch: images worked on together at most.

    Raises:
        ValueError: if an array's shape, the atoms' norm or the method is wrong.

    """

    def __init__(
        self,
        atoms: Float32 | Atoms,
        params: LCAParams,
        *,
        gramian: GramianTiles | None = None,
        method: Method = "working-set",
        device: str = "cpu",
        images: int = 0,
        rounded: bool | None = None,
        batch: int = BATCH,
    ) -> None:
        if method not in get_args(Method):
            raise ValueError(f"Expected method to be one of {', '.join(get_args(Method))}. Got {method!r}")
        self.atoms = atoms if isinstance(atoms, Atoms) else Atoms.of(parse_atoms(atoms))
        self.params, self.gramian, self.method, self.device = params, gramian, method, device
        self.images, self.rounded, self.batch = images, rounded, batch
        n_atoms, n_features = self.atoms.shape
        self.small = device == "cpu" and gramian is None and is_small(n_atoms, n_features, params.steps)
        self._working_sets: WorkingSets | None = None

    def encode(self, features: Float32, excluded: Sequence[Int64] | None = None) -> EncodeResult:
        """Code images (B, N); `excluded[i]` are atoms that image i must not use.

        An image whose recurrence diverges has a code that means nothing, and is marked in `report.unstable`.

        Raises:
            ValueError: if the shape does not fit the atoms, features are not finite, or excluded atoms are none.

        """
        features = parse_features(features, self.atoms.shape[1])
        without = (
            [np.unique(out) for out in excluded] if excluded is not None else [np.zeros(0, np.int64)] * len(features)
        )
        if len(without) != len(features):
            raise ValueError(f"Expected excluded atoms of {len(features)} images. Got those of {len(without)}")
        if beyond := [out for out in without if len(out) and not 0 <= out[0] <= out[-1] < self.atoms.shape[0]]:
            raise ValueError(f"Expected excluded atoms from 0 to {self.atoms.shape[0] - 1}. Got {beyond[0].tolist()}")
        starts = range(0, len(features), self.batch) or [0]
        cuts = [slice(start, start + self.batch) for start in starts]
        return EncodeResult.concatenate([self._encode(features[cut], without[cut]) for cut in cuts])

    def require_stable(
        self, result: EncodeResult, features: Float32, names: Sequence[str], excluded: Sequence[Int64] | None = None
    ) -> None:
        """Refuse a result with images whose recurrence diverges, by the names of the images.

        Raises:
            Diverged: naming them, and a tau that is large enough for the first.

        """
        bad = np.flatnonzero(result.report.unstable)
        if len(bad) == 0:
            return
        just = slice(int(bad[0]), int(bad[0]) + 1)
        tau = self._stable_tau(features[just], excluded[just] if excluded is not None else None)
        some = ", ".join(str(names[i]) for i in bad[:3]) + (", ..." if len(bad) > 3 else "")
        raise Diverged(
            f"the recurrence diverges for {len(bad)} of {len(names)} images ({some}) at lambda "
            f"{self.params.lambda_:g}, tau {self.params.tau:g}: the atoms are too strongly correlated for this step; "
            f"raise tau{f' ({tau:g} is enough for the first)' if tau else ''}, raise lambda, or use features that are "
            "centred or come from a backbone"
        )

    def _stable_tau(self, image: Float32, excluded: Sequence[Int64] | None) -> float | None:
        """Double tau until one image is stable; None if eight doublings were not enough."""
        for doubling in range(1, 9):
            params = LCAParams(self.params.lambda_, self.params.tau * 2.0**doubling, self.params.steps)
            other = Encoder(self.atoms, params, method=self.method, device=self.device, rounded=self.rounded)
            if not other.encode(image, excluded).report.unstable.any():
                return params.tau
        return None

    def _encode(self, features: Float32, excluded: Sequence[Int64]) -> EncodeResult:
        if self.small and self.method == "working-set" and len(features):
            return self._small(features, excluded)
        if self.method == "direct" or self.params.steps <= FEW_STEPS or len(features) == 0:
            return self._directly(features, excluded)
        return self._prove(features, excluded)

    def _prove(self, features: Float32, excluded: Sequence[Int64]) -> EncodeResult:
        """Code images by working sets; those that cannot be proved, by the recurrence of all neurons."""
        from dseld_cli.lca.screening import Screen
        from dseld_cli.lca.working_set import Outcome, WorkingSets

        if self._working_sets is None:
            screen = Screen(self.atoms, self.device, self.rounded, self.images)
            self._working_sets = WorkingSets(self.atoms, screen, self.params, self.gramian, self.batch)
        report = Report.empty(len(features))
        outcomes = self._working_sets.encode(features, excluded, report)
        rest = [i for i in range(len(features)) if i not in outcomes]
        if rest:
            with report.phase("direct"):
                direct = self._directly(features[rest], [excluded[i] for i in rest])
            for place, i in enumerate(rest):
                codes = direct.codes[place : place + 1]
                fired = int(direct.report.fired[place])
                outcomes[i] = Outcome(
                    codes.indices.astype(np.int64), codes.values, codes.firing[0], fired, direct.energy[place]
                )
            report.products[rest] += direct.report.products
        found = [outcomes[i] for i in range(len(features))]
        energy = np.stack([outcome.energy for outcome in found])
        report.unstable[:] = unstable(energy)
        report.fired[:] = [outcome.fired for outcome in found]
        firing = np.stack([outcome.firing for outcome in found])
        codes = SparseCodes.from_rows([o.atoms for o in found], [o.values for o in found], firing)
        return EncodeResult(codes, energy, report)

    def _directly(self, features: Float32, excluded: Sequence[Int64]) -> EncodeResult:
        """Code images by the recurrence of all neurons, as many at a time as DIRECT_ELEMENTS allows."""
        at_once = max(1, DIRECT_ELEMENTS // self.atoms.shape[0])
        cuts = [slice(start, start + at_once) for start in range(0, len(features), at_once) or [0]]
        return EncodeResult.concatenate([self._all_neurons(features[cut], excluded[cut]) for cut in cuts])

    def _small(self, features: Float32, excluded: Sequence[Int64]) -> EncodeResult:
        """Code the images of a small problem, as many at a time on each core as Python's own work is little beside."""
        (size,) = on_all_cores(lambda _: self.small_block, range(1))
        at_once = min(SMALL_AT_ONCE, -(-len(features) // cores()))

        def block(start: int) -> EncodeResult:
            n = min(at_once, len(features) - start)
            images = np.zeros((-(-n // size) * size, features.shape[1]), np.float32)
            images[:n] = features[start : start + n]
            without = [*excluded[start : start + n], *[np.zeros(0, np.int64)] * (len(images) - n)]
            return _first(self._all_neurons(images, without, in_pieces(size)), n)

        return EncodeResult.concatenate(on_all_cores(block, range(0, len(features), at_once)))

    @cached_property
    def small_block(self) -> int:
        """How many images are multiplied at a time: so many that linear algebra here treats all of them alike.

        Some libraries sum the last rows of a product in another order than the others.
        """
        atoms = next(iter(self.atoms.blocks()))[1]
        image, code = atoms[-1], atoms[:, 0]
        return next((n for n in SMALL_BLOCKS if _alike(image, atoms.T, n) and _alike(code, atoms, n)), 1)

    def _all_neurons(
        self, features: Float32, excluded: Sequence[Int64], multiply: Multiply = product
    ) -> EncodeResult:  # fmt: skip
        n_atoms, n_features = self.atoms.shape
        blocks, tiles = self.atoms.blocks, self.gramian
        there: Callable[[Float32], Array] = np.asarray
        if self.device != "cpu":
            from dseld_cli.lca import on_torch

            blocks, tiles, there = on_torch.moved(self.atoms.blocks, self.gramian, self.device)
        b = driving_input(there(features), blocks, n_atoms, multiply)
        if tiles and self.method == "direct":
            inhibition = through_gramian(tiles)
        else:
            inhibition = through_atoms(blocks, n_features, multiply)
        if any(len(out) for out in excluded):
            inhibition = exclude(b, inhibition, excluded)
        return _result(run_lca(b, inhibition, self.params), 2 * self.params.steps)


def encode(
    features: Float32, atoms: Float32, params: LCAParams, excluded: Sequence[Int64] | None = None
) -> EncodeResult:
    """Code images (B, N) over unit-norm atoms (M, N); `excluded[i]` are atoms that image i must not use.

    To code more images over the same atoms later, keep an `Encoder`.

    Raises:
        ValueError: if an array's shape or the atoms' norm is wrong.

    """
    return Encoder(atoms, params, images=len(features)).encode(features, excluded)


def is_small(n_atoms: int, n_features: int, steps: int) -> bool:
    """Whether all neurons are simulated, as they are so few."""
    return n_atoms * n_features * steps <= SMALL


def memory_needed(method: Method, batch: int, n_atoms: int, n_features: int, steps: int) -> int:
    """Bytes that coding a batch needs, beside the features and the atoms, or the block of them, that are held."""
    if method == "direct":
        return 4 * (DIRECT_ARRAYS * min(batch * n_atoms, DIRECT_ELEMENTS + n_atoms) + 3 * TILE * max(n_features, TILE))
    from dseld_cli.lca import working_set

    return working_set.memory_needed(batch, n_atoms, n_features, steps)


def _result(response: Response, products: int) -> EncodeResult:
    """Codes of the direct recurrence, at `products` passes over the atoms."""
    n, n_atoms = response.code.shape
    report = Report.empty(n)
    report.products[:], report.working_set[:], report.unstable[:] = products, n_atoms, unstable(response.energy)
    report.fired[:] = response.fired
    return EncodeResult(SparseCodes.from_response(response), response.energy, report)


def in_pieces(size: int) -> Multiply:
    """Multiply so many rows at a time; their number is a multiple of that."""

    def multiply(left: Float32, right: Float32) -> Float32:
        found: Float32 = np.matmul(left.reshape(-1, size, left.shape[1]), right).reshape(len(left), right.shape[1])
        return found

    return multiply


def _alike(row: Float32, matrix: Float32, n: int) -> bool:
    """Whether n equal rows times a matrix are equal rows, to the last bit."""
    products = np.tile(row, (n, 1)) @ matrix
    return bool((products == products[0]).all())


def _first(result: EncodeResult, n: int) -> EncodeResult:
    return EncodeResult(result.codes[:n], result.energy[:n], result.report.first(n))


def parse_features(features: Float32, n_features: int) -> Float32:
    """Features (B, N) as float32.

    Raises:
        ValueError: if they are not of that shape, or not finite.

    """
    rows = np.ascontiguousarray(features, np.float32)
    if rows.ndim != 2 or rows.shape[1] != n_features:
        raise ValueError(f"Expected features of shape (B, {n_features}). Got {np.shape(features)}")
    if not np.isfinite(rows).all():
        raise ValueError(f"Expected finite features. Got others in row {np.argmin(np.isfinite(rows).all(axis=1))}")
    return rows


def parse_atoms(atoms: Float32) -> Float32:
    """Atoms (M, N) as float32.

    Raises:
        ValueError: if they are not of that shape, or a row is neither unit-norm nor all zeros.

    """
    rows = np.ascontiguousarray(atoms, np.float32)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"Expected atoms of shape (M, N). Got {np.shape(atoms)}")
    norms = np.linalg.norm(rows, axis=1)
    bad = np.flatnonzero(~((np.abs(norms - 1) <= UNIT_NORM_TOLERANCE) | (norms == 0)))
    if len(bad):
        raise ValueError(f"Expected atoms of unit L2 norm. Got {norms[bad[0]]:g} in row {bad[0]}")
    return rows
