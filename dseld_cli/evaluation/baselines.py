"""Classifiers of the same features that learn from the same exemplars, without coding. They know arrays only.

All take unit-norm rows: exemplars (M, N) with classes (M,), images (B, N). Scores are (B, n_classes), shares of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dseld_cli.decoders.base import shares

REGULARISATION = (1.0, 10.0, 100.0, 1000.0)
"""Inverse strengths that logistic regression chooses from, by the accuracy on a tenth of the exemplars held out."""
MOST_TO_CHOOSE_BY = 5000
"""Exemplars that this choice looks at."""
ITERATIONS = 200
"""Of logistic regression's training, which are as far as accuracy goes."""
WORK = 1.5e13
"""Floating-point operations that its training may take: minutes; with more exemplars, fewer iterations."""
FEWEST_ITERATIONS = 20
WORTH_THREADS = 1e9
"""Operations per iteration below which threads cost more than they give."""

Rows = NDArray[np.float32]
Labels = NDArray[np.int64]
Progress = Callable[[Iterable[int], int, str], Iterable[int]]
"""Shows how far a loop is: what it goes through, how long that is, and what is being done."""


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
        found = np.zeros((len(images), self.n_classes), np.float32)
        found[:, self.classes] = shares(images @ self.means.T)
        return found


def class_means(atoms: Rows, labels: Labels, n_classes: int) -> ClassMeans:
    """Average the exemplars of each class."""
    classes = np.unique(labels)
    means = np.stack([atoms[labels == c].mean(axis=0) for c in classes])
    return ClassMeans(means / np.linalg.norm(means, axis=1, keepdims=True), classes, n_classes)


@dataclass(frozen=True)
class Neighbours:
    """The k exemplars of the highest cosine vote for their class."""

    atoms: Rows
    labels: Labels
    n_classes: int
    k: int
    said: str = ""

    def scores(self, images: Rows) -> Rows:
        """Share of the votes."""
        cosines = images @ self.atoms.T
        nearest = np.argpartition(cosines, -self.k, axis=1)[:, -self.k :] if self.k < len(self.atoms) else None
        voters = self.labels[nearest] if nearest is not None else np.tile(self.labels, (len(images), 1))
        cell = np.arange(len(images))[:, None] * self.n_classes + voters
        votes = np.bincount(cell.ravel(), minlength=len(images) * self.n_classes)
        return (votes.reshape(len(images), self.n_classes) / np.float32(self.k)).astype(np.float32)


def neighbours(atoms: Rows, labels: Labels, n_classes: int, k: int) -> Neighbours:
    """Let as many vote as are asked for, but no more than a typical class has exemplars (the median of their counts).

    With more, an image's own class is outvoted however close its exemplars are.
    """
    counts = np.bincount(labels)
    typical = int(np.median(counts[counts > 0]))
    said = f"{typical} neighbours vote, not {k}: a typical class has no more exemplars" if typical < k else ""
    return Neighbours(atoms, labels, n_classes, min(k, typical), said)


def cosine_to_nearest(images: Rows, blocks: Iterable[Rows], k: int) -> Rows:
    """Cosine of each image (B, N) with its k-th nearest exemplar, from blocks of unit-norm atoms (m, N); (B,).

    Its distance is a score of how unlike all that is known an image is (Sun et al. 2022).
    """
    unit = images / np.maximum(np.linalg.norm(images, axis=1, keepdims=True), 1e-12)
    best = np.full((len(images), k), -1, np.float32)
    for block in blocks:
        both = np.concatenate([best, unit @ block.T], axis=1)
        best = np.partition(both, -k, axis=1)[:, -k:]
    kth: Rows = best.min(axis=1)
    return kth


@dataclass(frozen=True)
class Logistic:
    """Multinomial logistic regression: weights (C, N) and bias (C,) of the classes (C,) that have exemplars."""

    weights: Rows
    bias: Rows
    classes: Labels
    n_classes: int
    said: str = ""

    def scores(self, images: Rows) -> Rows:
        """Probabilities."""
        found = np.zeros((len(images), self.n_classes), np.float32)
        found[:, self.classes] = _softmax(images @ self.weights.T + self.bias)
        return found

    def labels(self, images: Rows) -> Labels:
        """Most probable classes, (B,)."""
        found: Labels = np.argmax(self.scores(images), axis=1)
        return found


def logistic(atoms: Rows, labels: Labels, n_classes: int, progress: Progress) -> Logistic:
    """Choose the strength of the regularisation on exemplars held out, and fit all exemplars with it."""
    some = np.random.default_rng(0).permutation(len(atoms))[:MOST_TO_CHOOSE_BY]
    some = some[np.random.RandomState(0).permutation(len(some))]  # as scikit-learn draws: older figures hold
    held, kept = np.split(some, [-(-len(some) // 10)])
    if not len(held) or len(np.unique(labels[kept])) < 2:
        strength = REGULARISATION[0]
        said = f"too few exemplars to choose the regularisation by: C = {strength:g}"
    else:
        right = {
            c: float((_fitted(atoms[kept], labels[kept], n_classes, c, progress, f"C = {c:g}, held out")
                      .labels(atoms[held]) == labels[held]).mean())
            for c in REGULARISATION
        }  # fmt: skip
        strength, said = max(right, key=lambda c: right[c]), ""
    return _fitted(atoms, labels, n_classes, strength, progress, f"logistic regression, C = {strength:g}", said)


def _fitted(
    atoms: Rows, labels: Labels, n_classes: int, c: float, progress: Progress, what: str, said: str = ""
) -> Logistic:
    """Minimise sum of cross-entropies + ||weights||^2 / (2 c) by L-BFGS from zero; the bias is free."""
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    classes, truth = np.unique(labels, return_inverse=True)
    shape, rows = (len(classes), atoms.shape[1] + 1), np.arange(len(atoms))
    per_iteration = 4.0 * len(atoms) * shape[0] * shape[1]
    iterations = int(max(FEWEST_ITERATIONS, min(ITERATIONS, WORK / per_iteration)))
    ticks = iter(progress(range(iterations), iterations, what))

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(shape)
        logits = atoms @ weights[:, :-1].T.astype(np.float32) + weights[:, -1].astype(np.float32)
        logits -= logits.max(axis=1, keepdims=True)
        of_truth = logits[rows, truth].sum(dtype=np.float64)
        np.exp(logits, out=logits)
        total = logits.sum(axis=1, keepdims=True)
        value = np.log(total).sum(dtype=np.float64) - of_truth
        logits /= total
        logits[rows, truth] -= 1
        gradient = np.empty(shape)
        gradient[:, :-1] = logits.T @ atoms
        gradient[:, :-1] += weights[:, :-1] / c
        gradient[:, -1] = logits.sum(axis=0, dtype=np.float64)
        n = len(atoms)
        return (value + np.square(weights[:, :-1]).sum() / (2 * c)) / n, gradient.ravel() / n

    options = {"maxiter": iterations, "maxls": 50, "gtol": 1e-4, "ftol": 64 * np.finfo(float).eps}
    with threadpool_limits(1 if per_iteration < WORTH_THREADS else None):
        start, tick = np.zeros(shape).ravel(), lambda _: next(ticks, None)
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options, callback=tick)
    for _ in ticks:
        pass
    weights = found.x.reshape(shape).astype(np.float32)
    if iterations < ITERATIONS and found.nit >= iterations:
        said = f"{said}; " if said else said
        said += f"stopped after {iterations} iterations: {len(atoms)} exemplars of {len(classes)} classes take long"
    return Logistic(weights[:, :-1], weights[:, -1], classes, n_classes, said)


def _softmax(logits: Rows) -> Rows:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Rows = raised / raised.sum(axis=1, keepdims=True)
    return probabilities
