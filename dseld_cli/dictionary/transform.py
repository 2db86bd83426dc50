"""Linear maps of the features in closed form, before atoms are scaled to unit norm.

Of x (N,), fitted to the features of the base's images:

    none          x                                                         as in the paper
    centre        x - m                                                     m their mean
    whiten        (C / c + I)^(-1/2) (x - m)                                C their covariance, c = tr(C) / N
    within-class  the same, C the covariance of each about its class's mean

The last two are ZCA whitening (Kessy, Lewin, Strimmer 2018) with the covariance shrunk towards its mean variance
(Ledoit, Wolf 2004), half and half: less is no better on CNN features, and lets in the noise of directions that hardly
vary. Divided by c, the map changes the scale of the features, and so that of lambda, but little.

What was fitted to the base stays as it is while the dictionary grows: atoms that are there keep their bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.errors import UserError
from dseld_cli.runtime.engine import on_all_cores

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

PANEL = 240
"""Rows that are mapped at a time by each core."""


@dataclass(frozen=True)
class Transform:
    """A map of features (n, N): less the mean, then times the matrix.

    Attributes:
        mean: (N,).
        matrix: (N, N), symmetric; None for the identity.

    """

    mean: Float32
    matrix: Float32 | None = None

    @cached_property
    def _right(self) -> Float32:
        from dseld_cli.lca.inner import filled_up

        assert self.matrix is not None
        return filled_up(self.matrix)

    def __call__(self, rows: Float32) -> Float32:
        """Map rows (n, N); each comes out with the same bits, whatever others it is among."""
        mapped: Float32 = np.subtract(rows, self.mean, dtype=np.float32)
        if self.matrix is None:
            return mapped
        from dseld_cli.lca.inner import filled_up, inner_products  # numba, which few commands need

        right, n_features = self._right, len(self.mean)

        def part(rows: slice) -> None:
            left = filled_up(mapped[rows])
            found = np.empty((len(left), len(right)), np.float32)
            inner_products(left, right, found)
            mapped[rows] = found[: rows.stop - rows.start, :n_features]

        on_all_cores(part, store.blocks(len(mapped), PANEL))
        return mapped

    @property
    def arrays(self) -> dict[str, Float32]:
        """What a store keeps of it, by name."""
        return {"mean": self.mean} | ({} if self.matrix is None else {"matrix": self.matrix})

    @property
    def sha256(self) -> str:
        """Digest of all of it."""
        return hashlib.sha256(b"".join(array.tobytes() for array in self.arrays.values())).hexdigest()


@dataclass
class Moments:
    """Sums over features that come block by block, about the mean of the first block, which spares digits.

    Attributes:
        origin: that mean (N,).
        outer: sum of outer products (N, N).
        sums: of each class's features, (n_classes, N).
        counts: images of each class, (n_classes,).

    """

    origin: Float64
    outer: Float64
    sums: Float64
    counts: Int64

    @classmethod
    def of(cls, blocks: Iterable[tuple[Float32, Int64]], n_classes: int) -> Moments:
        """Sum over blocks of features (n, N) and their classes (n,); there is at least one."""
        moments: Moments | None = None
        for rows, labels in blocks:
            n = rows.shape[1]
            moments = moments or cls(
                rows.mean(axis=0, dtype=np.float64),
                np.zeros((n, n)),
                np.zeros((n_classes, n)),
                np.zeros(n_classes, np.int64),
            )
            about = rows - moments.origin
            moments.outer += about.T @ about
            np.add.at(moments.sums, labels, about)
            moments.counts += np.bincount(labels, minlength=n_classes)
        if moments is None:
            raise ValueError("Expected at least one block. Got none.")
        return moments

    @property
    def mean(self) -> Float64:
        """Mean (N,)."""
        return self.origin + self._about()

    def _about(self) -> Float64:
        """Mean about the origin."""
        found: Float64 = self.sums.sum(axis=0) / self.counts.sum()
        return found

    def covariance(self) -> Float64:
        """Covariance about the mean (N, N), divided by n."""
        about = self._about()
        found: Float64 = self.outer / self.counts.sum() - np.outer(about, about)
        return found

    def covariance_within(self) -> Float64:
        """Covariance of each image about its class's mean (N, N), divided by n."""
        scaled = self.sums / np.sqrt(np.maximum(self.counts, 1))[:, None]
        found: Float64 = (self.outer - scaled.T @ scaled) / self.counts.sum()
        return found


def fitted(kind: str, blocks: Iterable[tuple[Float32, Int64]], n_classes: int) -> Transform | None:
    """Fit the map of a name that params.yaml's build_dict.transform may have, in one pass; None for none.

    Raises:
        UserError: if the features do not vary, or are not finite.

    """
    if kind == "none":
        return None
    moments = Moments.of(blocks, n_classes)
    mean = moments.mean.astype(np.float32)
    if not np.isfinite(mean).all():
        raise UserError(f"build_dict.transform: {kind} cannot be fitted, as some features are not finite")
    if kind == "centre":
        return Transform(mean)
    covariance = moments.covariance() if kind == "whiten" else moments.covariance_within()
    return Transform(mean, whitening(covariance, kind).astype(np.float32))


def whitening(covariance: Float64, kind: str = "whiten") -> Float64:
    """Inverse square root of a covariance (N, N) over its mean variance, plus the identity.

    Raises:
        UserError: if it is zero.

    """
    scale = float(np.trace(covariance)) / len(covariance)
    if not scale > 1e-30:
        what = "the features of each class" if kind == "within-class" else "the features"
        raise UserError(f"build_dict.transform: {kind} cannot be fitted, as {what} do not vary: use none, or centre")
    values, vectors = np.linalg.eigh(covariance / scale)
    root: Float64 = (vectors / np.sqrt(np.maximum(values, 0) + 1)) @ vectors.T
    return (root + root.T) / 2


def of(dictionary: store.Base | store.Dictionary) -> Transform | None:
    """Map that a dictionary's atoms went through; None if they did not."""
    if dictionary.info.transform is None:
        return None
    return Transform(dictionary.read("mean"), dictionary.read("matrix") if "matrix" in dictionary.arrays else None)


@dataclass(frozen=True)
class Seen:
    """Features of n images as a dictionary sees them: through its map.

    Attributes:
        features: as the backbone gave them.
        transform: the dictionary's.

    """

    features: store.Features
    transform: Transform | None = None

    @classmethod
    def by(cls, dictionary: store.Base | store.Dictionary, features: store.Features) -> Seen:
        """See features as a dictionary does."""
        return cls(features, of(dictionary))

    def _mapped(self, rows: Float32) -> Float32:
        return self.transform(rows) if self.transform else rows

    def take(self, rows: Int64) -> Float32:
        """Features of any images (len(rows), N)."""
        return self._mapped(self.features.take("features", rows))

    def rows(self, part: slice) -> Float32:
        """Features of consecutive images."""
        return self._mapped(self.features.rows("features", part))

    def read(self) -> Float32:
        """All features (n, N)."""
        found = self.features.read("features")
        for part in store.blocks(len(found)) if self.transform else ():
            found[part] = self._mapped(found[part])
        return found

    def stream(self) -> Iterator[tuple[slice, Float32]]:
        """All features, block by block."""
        return ((part, self._mapped(block)) for part, block in self.features.stream("features"))
