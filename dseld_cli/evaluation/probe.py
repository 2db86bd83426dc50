"""The linear probe: multinomial logistic regression of unit-norm features, its strength chosen on exemplars held out.

Exemplars come tile by tile; a tile is worked on by one core, and what comes of all tiles is summed in order, so that
figures do not depend on how many cores there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dseld_cli.evaluation.exemplars import Labels, Rows, TiledExemplars, of_all
from dseld_cli.lca.atoms import TILE
from dseld_cli.runtime.engine import cores, one_core_each, threads_per_operation

REGULARISATION = (1.0, 10.0, 100.0, 1000.0)
"""Inverse strengths that logistic regression chooses from, by the accuracy on exemplars that were held out."""
MOST_TO_CHOOSE_BY = 5000
"""Exemplars that are held out for this choice, if there are so many; and that it learns from."""
FOLDS = 5
"""Where there are fewer than twice as many, so many in all are held out by turns: 500 chose badly by chance."""
ITERATIONS = 200
"""Of logistic regression's training, which are as far as accuracy goes."""
WORK = 1.5e13
"""Floating-point operations that its training may take: minutes; with more exemplars, fewer iterations."""
FEWEST_ITERATIONS = 20
GRADIENT = 1e-5
"""Of the objective per exemplar, at which it ends; at ten times that, the order of sums moves answers on small sets."""
PAIRS = 10
"""Of steps and gradients, as many of which as weights the training keeps."""

Float64 = NDArray[np.float64]
Progress = Callable[[Iterable[int], int, str], Iterable[int]]
"""Shows how far a loop is: what it goes through, how long that is, and what is being done."""


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
        return of_all(_softmax(images @ self.weights.T + self.bias), self.classes, self.n_classes)

    def labels(self, images: Rows) -> Labels:
        """Most probable classes, (B,)."""
        found: Labels = np.argmax(self.scores(images), axis=1)
        return found


def logistic(exemplars: TiledExemplars, n_classes: int, progress: Progress, most: int) -> Logistic:
    """Choose the strength of the regularisation on exemplars held out, and fit all with it, so many tiles at once."""
    if exemplars.counts.max(initial=0) < 2 or len(exemplars.classes) < 2:
        strength = REGULARISATION[0]
        said = f"too few exemplars to choose the regularisation by: C = {strength:g}"
    else:
        held_out = splits(exemplars.labels[exemplars.labels >= 0])
        strength, said = chosen(exemplars, n_classes, held_out, progress, most), ""
    return fitted(exemplars, n_classes, strength, progress, f"logistic regression, C = {strength:g}", most, said)


def splits(labels: Labels) -> list[tuple[Labels, Labels]]:
    """Cut numbers of exemplars into those to learn from and those to judge by, as often as some are to be judged.

    Every fold has as many of each class as another, or one more.
    """
    n = len(labels)
    order = np.random.default_rng(0).permutation(n)
    if n >= 2 * MOST_TO_CHOOSE_BY:
        return [(order[:MOST_TO_CHOOSE_BY], order[MOST_TO_CHOOSE_BY : 2 * MOST_TO_CHOOSE_BY])]
    some = order[:MOST_TO_CHOOSE_BY]
    by_class = some[np.argsort(labels[some], kind="stable")]
    folds = [by_class[i::FOLDS] for i in range(min(FOLDS, n))]
    return [(np.concatenate(folds[:i] + folds[i + 1 :]), fold) for i, fold in enumerate(folds)]


def chosen(
    exemplars: TiledExemplars, n_classes: int, held_out: list[tuple[Labels, Labels]], progress: Progress, most: int
) -> float:
    """Choose the inverse strength that names most exemplars rightly that were held out; of equal ones the least.

    From the least on, each fit beginning where the last one ended, until one does worse.
    """
    looked_at = np.unique(np.concatenate([part for split in held_out for part in split]))
    some = exemplars.some(looked_at)
    models: list[Logistic | None] = [None] * len(held_out)
    strength, best = REGULARISATION[0], -1
    for c in REGULARISATION:
        named = 0
        for fold in progress(range(len(held_out)), len(held_out), f"C = {c:g}, held out"):
            learns, judges = (some.some(np.searchsorted(looked_at, part)) for part in held_out[fold])
            model = fitted(learns, n_classes, c, lambda steps, n, what: steps, "", most, begin=models[fold])
            named += right_of(model, judges)
            models[fold] = model
        if named < best:
            break
        if named > best:
            strength, best = c, named
    return strength


def right_of(model: Logistic, exemplars: TiledExemplars) -> int:
    """How many exemplars a model names rightly."""
    return sum(int((model.labels(rows) == labels).sum()) for rows, labels in exemplars.tiles())


def fitted(
    exemplars: TiledExemplars, n_classes: int, c: float, progress: Progress, what: str, most: int, said: str = "",
    begin: Logistic | None = None,
) -> Logistic:  # fmt: skip
    """Minimise sum of cross-entropies + ||weights||^2 / (2 c) by L-BFGS, from zero or another model; bias is free."""
    from scipy.optimize import minimize

    classes, n = exemplars.classes, len(exemplars)
    at_once = min(cores(), most, -(-exemplars.atoms.shape[0] // TILE))
    shape = (len(classes), exemplars.n_features + 1)
    iterations = int(max(FEWEST_ITERATIONS, min(ITERATIONS, WORK / (4.0 * n * shape[0] * shape[1]))))
    ticks = iter(progress(range(iterations), iterations, what))

    def loss(flat: Float64) -> tuple[float, Float64]:
        weights = flat.reshape(shape)
        value, gradient = np.square(weights[:, :-1]).sum() / (2 * c), weights / c
        gradient[:, -1] = 0
        narrow = weights.astype(np.float32)
        for of_tile, gradient_of_tile in one_core_each(
            lambda tile: cross_entropy(tile[0], np.searchsorted(classes, tile[1]), narrow), exemplars.tiles(), at_once
        ):
            value += of_tile
            gradient += gradient_of_tile
        return value / n, gradient.ravel() / n

    options = {"maxiter": iterations, "maxls": 50, "gtol": GRADIENT, "ftol": 64 * np.finfo(float).eps, "maxcor": PAIRS}
    start = np.column_stack([begin.weights, begin.bias]).astype(np.float64) if begin else np.zeros(shape)

    def step_done(_: Float64) -> None:
        next(ticks, None)

    with threads_per_operation(1):
        found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options, callback=step_done)
    for _ in ticks:
        pass
    weights = found.x.reshape(shape).astype(np.float32)
    if iterations < ITERATIONS and found.nit >= iterations:
        said = f"{said}; " if said else said
        said += f"stopped after {iterations} iterations: {n} exemplars of {len(classes)} classes take long"
    return Logistic(weights[:, :-1], weights[:, -1], classes, n_classes, said)


def cross_entropy(rows: Rows, truth: Labels, weights: Rows) -> tuple[float, Rows]:
    """Sum over rows (m, N) of -log probability of their classes (m,), and its gradient in `weights` (C, N + 1)."""
    logits = rows @ weights[:, :-1].T + weights[:, -1]
    logits -= logits.max(axis=1, keepdims=True)
    each = np.arange(len(rows))
    of_truth = logits[each, truth].sum(dtype=np.float64)
    np.exp(logits, out=logits)
    total = logits.sum(axis=1, keepdims=True)
    value = float(np.log(total).sum(dtype=np.float64) - of_truth)
    logits /= total
    logits[each, truth] -= 1
    return value, np.column_stack([logits.T @ rows, logits.sum(axis=0)])


def _softmax(logits: Rows) -> Rows:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Rows = raised / raised.sum(axis=1, keepdims=True)
    return probabilities


def memory_needed(n_features: int, n_classes: int, tiles: int) -> int:
    """Bytes that fitting takes with so many tiles at once, beside the exemplars."""
    weights = n_classes * (n_features + 1)
    fitting = 8 * weights * (2 * PAIRS + 8) + 4 * (tiles + 1) * (TILE * (n_features + 3 * n_classes) + 2 * weights)
    chosen_by = 4 * 4 * MOST_TO_CHOOSE_BY * n_features  # those looked at, and a copy of each side
    return fitting + chosen_by
