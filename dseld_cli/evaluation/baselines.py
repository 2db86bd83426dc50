"""Classifiers of the same features that learn from the same exemplars, without coding. They know arrays only.

All take unit-norm rows: exemplars (M, N) with classes (M,), images (B, N). Scores are (B, n_classes), shares of one.
Exemplars come tile by tile, as often as they are wanted, and need not fit in memory. A tile is worked on by one core,
and what comes of all tiles is summed in order, so that figures do not depend on how many cores there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dseld_cli.decoders.base import shares
from dseld_cli.evaluation import probe
from dseld_cli.evaluation.exemplars import Labels, Rows, TiledExemplars, of_all
from dseld_cli.lca.atoms import TILE
from dseld_cli.runtime.engine import on_all_cores
from dseld_cli.runtime.engine import shares as slices

MOST_TILES = 64
"""In work at once, at most."""


class Baseline(Protocol):
    """A fitted classifier."""

    @property
    def said(self) -> str:
        """What is to be known about how it was fitted, or nothing."""
        ...

    def scores(self, images: Rows) -> Rows:
        """Share of each class, (B, n_classes)."""
        ...


@dataclass(frozen=True)
class ClassMeans:
    """Nearest class mean by cosine: unit-norm means (C, N) of the classes (C,) that have exemplars."""

    means: Rows
    classes: Labels
    n_classes: int
    said: str = ""

    def scores(self, images: Rows) -> Rows:
        """Cosines with the means as shares of their sum."""
        return of_all(shares(images @ self.means.T), self.classes, self.n_classes)


def class_means(exemplars: TiledExemplars, n_classes: int) -> ClassMeans:
    """Average the exemplars of each class."""
    sums = np.zeros((n_classes, exemplars.n_features))
    for rows, labels in exemplars.tiles():
        for c in np.unique(labels):
            sums[c] += rows[labels == c].sum(axis=0, dtype=np.float64)
    means = sums[exemplars.classes] / exemplars.counts[:, None]
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return ClassMeans(means.astype(np.float32), exemplars.classes, n_classes)


@dataclass(frozen=True)
class Neighbours:
    """The k exemplars of the highest cosine vote for their class."""

    exemplars: TiledExemplars
    n_classes: int
    k: int
    said: str = ""

    def scores(self, images: Rows) -> Rows:
        """Share of the votes."""
        _, voters = nearest(images, self.exemplars.tiles(), self.k)
        cell = np.arange(len(images))[:, None] * self.n_classes + voters
        votes = np.bincount(cell.ravel(), minlength=len(images) * self.n_classes)
        return (votes.reshape(len(images), self.n_classes) / np.float32(self.k)).astype(np.float32)


def neighbours(exemplars: TiledExemplars, n_classes: int, k: int) -> Neighbours:
    """Let as many vote as are asked for, but no more than a typical class has exemplars (the median of their counts).

    With more, an image's own class is outvoted however close its exemplars are.
    """
    typical = int(np.median(exemplars.counts))
    voters = "1 neighbour votes" if typical == 1 else f"{typical} neighbours vote"
    said = f"{voters}, not {k}: a typical class has no more exemplars" if typical < k else ""
    return Neighbours(exemplars, n_classes, min(k, typical), said)


def nearest(images: Rows, tiles: Iterable[tuple[Rows, Labels]], k: int) -> tuple[Rows, Labels]:
    """Cosines (B, k) of unit-norm images (B, N) with the k nearest exemplars, in any order, and their classes (B, k).

    Of fewer exemplars than k, cosines of -infinity and the class -1 fill up.
    """
    best, classes = np.full((len(images), k), -np.inf, np.float32), np.full((len(images), k), -1, np.int64)
    for rows, labels in tiles:

        def compare(part: slice, rows: Rows = rows, labels: Labels = labels) -> None:
            both = np.concatenate([best[part], images[part] @ rows.T], axis=1)
            highest = np.argpartition(both, -k, axis=1)[:, -k:]
            known = np.take_along_axis(classes[part], np.minimum(highest, k - 1), axis=1)
            best[part] = np.take_along_axis(both, highest, axis=1)
            classes[part] = np.where(highest < k, known, labels[np.maximum(highest - k, 0)])

        on_all_cores(compare, slices(len(images)))
    return best, classes


def cosine_to_nearest(images: Rows, exemplars: TiledExemplars, k: int) -> Rows:
    """Cosine of each image (B, N) with its k-th nearest exemplar, (B,); -1 where there are fewer.

    Its distance is a score of how unlike all that is known an image is (Sun et al. 2022).
    """
    unit = images / np.maximum(np.linalg.norm(images, axis=1, keepdims=True), 1e-12)
    kth: Rows = nearest(unit, exemplars.tiles(), k)[0].min(axis=1)
    return np.maximum(kth, np.float32(-1))


def memory_needed(n_features: int, n_classes: int, images: int, tiles: int) -> int:
    """Bytes that fitting, so many tiles at once, and classifying so many images take beside the exemplars."""
    classifying = images * (8 * n_features + 16 * TILE + 16 * n_classes)
    return max(probe.memory_needed(n_features, n_classes, tiles), classifying)


def tiles_within(room: int, n_features: int, n_classes: int, images: int) -> int:
    """How many tiles may be in work at once in so many bytes, at least one."""
    return next((n for n in range(MOST_TILES, 1, -1) if memory_needed(n_features, n_classes, images, n) <= room), 1)
