"""Baselines against scikit-learn's classifiers, which define what they are."""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from dseld_cli.evaluation import baselines, probe
from dseld_cli.evaluation.exemplars import TiledExemplars
from dseld_cli.lca import atoms as lca_atoms
from dseld_cli.lca.atoms import Atoms

PIXELS, CLASSES = load_digits(return_X_y=True)
UNIT = (PIXELS / np.linalg.norm(PIXELS, axis=1, keepdims=True)).astype(np.float32)
ATOMS, LABELS, IMAGES = UNIT[:400], CLASSES[:400].astype(np.int64), UNIT[400:700]
EXEMPLARS = TiledExemplars(Atoms.of(ATOMS), LABELS)


def quiet(items: Iterable[int], total: int, what: str) -> Iterable[int]:
    return items


def test_exemplars_that_were_removed_are_none() -> None:
    holes = np.insert(ATOMS, [0, 7, 400], 0, axis=0)
    found = TiledExemplars(Atoms.of(holes), np.insert(LABELS, [0, 7, 400], -1))
    rows, labels = (np.concatenate(parts) for parts in zip(*found.tiles(), strict=True))
    np.testing.assert_array_equal(rows, ATOMS)
    np.testing.assert_array_equal(labels, LABELS)
    which = np.array([399, 0, 6, 7])
    np.testing.assert_array_equal(found.some(which).atoms.resident, ATOMS[which])
    np.testing.assert_array_equal(found.some(which).labels, LABELS[which])


@pytest.mark.parametrize("threads", ["1", "3"])
def test_figures_depend_neither_on_where_exemplars_are_nor_on_cores(
    threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In memory they come in one piece, from disk in blocks, of which the baselines take a tile at a time."""

    def blocks() -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, 400, 100):
            yield slice(start, start + 100), ATOMS[start : start + 100]

    def scores(exemplars: TiledExemplars) -> list[np.ndarray]:
        models = (
            baselines.class_means(exemplars, 10),
            baselines.neighbours(exemplars, 10, 7),
            probe.logistic(exemplars, 10, quiet, 2),
        )
        return [model.scores(IMAGES) for model in models]

    monkeypatch.setattr(lca_atoms, "TILE", 50)
    here = scores(EXEMPLARS)
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    for ours, theirs in zip(here, scores(TiledExemplars(Atoms(ATOMS.shape, blocks), LABELS)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_class_mean_is_the_mean_of_its_exemplars() -> None:
    found = baselines.class_means(EXEMPLARS, 11)
    for c, mean in zip(found.classes, found.means, strict=True):
        expected = ATOMS[np.flatnonzero(c == LABELS)].astype(np.float64).sum(axis=0)
        np.testing.assert_allclose(mean, expected / np.linalg.norm(expected), atol=1e-6)
    assert (found.scores(IMAGES)[:, 10] == 0).all()


@pytest.mark.parametrize("tile", [2048, 50, 5])
def test_neighbours_vote_as_scikit_learns_do(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the tiles, fewer exemplars than vote among them, and some with none that was not removed."""
    monkeypatch.setattr(lca_atoms, "TILE", tile)
    peer = KNeighborsClassifier(7, metric="cosine", algorithm="brute").fit(ATOMS, LABELS)
    holes = np.insert(ATOMS, [20] * 13, 0, axis=0)
    ours = baselines.neighbours(TiledExemplars(Atoms.of(holes), np.insert(LABELS, [20] * 13, -1)), 10, 7)
    np.testing.assert_allclose(ours.scores(IMAGES), peer.predict_proba(IMAGES), atol=1e-6)


@pytest.mark.parametrize("strength", [1.0, 100.0])
def test_logistic_regression_comes_as_near_the_optimum_as_scikit_learns(strength: float) -> None:
    """Both stop where the gradient is small; the optimum is scikit-learn's with a far smaller tolerance."""
    optimum, peer = (
        LogisticRegression(C=strength, max_iter=5000, tol=tol).fit(ATOMS.astype(np.float64), LABELS)
        for tol in (1e-8, 1e-4)
    )
    ours = probe.fitted(EXEMPLARS, 10, strength, quiet, "", 1)

    def objective(weights: np.ndarray, bias: np.ndarray) -> float:
        logits = ATOMS @ weights.T + bias
        likelihood = logits[np.arange(len(LABELS)), LABELS] - np.logaddexp.reduce(logits, axis=1)
        return float(-likelihood.sum() + np.square(weights).sum() / (2 * strength))

    least = objective(optimum.coef_, optimum.intercept_)
    assert objective(ours.weights, ours.bias) - least <= 1.5 * (objective(peer.coef_, peer.intercept_) - least) + 1e-3
    assert (ours.labels(IMAGES) == optimum.predict(IMAGES)).all()


@pytest.mark.parametrize("most", [5000, 300, 150])
def test_the_strength_chosen_is_the_one_by_which_scikit_learn_names_most_rightly(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every exemplar is held out once, or, where there are plenty, some are for good."""
    monkeypatch.setattr(probe, "MOST_TO_CHOOSE_BY", most)
    monkeypatch.setattr(probe, "REGULARISATION", (1.0, 10.0, 100.0))
    held_out = probe.splits(LABELS)
    looked_at = min(len(ATOMS), 2 * most if len(held_out) == 1 else most)
    assert sum(len(held) for _, held in held_out) == (most if len(held_out) == 1 else looked_at)
    for kept, held in held_out:
        assert not np.intersect1d(kept, held).size
        assert len(kept) + len(held) == looked_at
    right = {
        c: sum(
            LogisticRegression(C=c, max_iter=5000, tol=1e-6).fit(ATOMS[kept], LABELS[kept]).score(*both) * len(held)
            for kept, held in held_out
            for both in [(ATOMS[held], LABELS[held])]
        )
        for c in probe.REGULARISATION
    }
    assert right[probe.chosen(EXEMPLARS, 10, held_out, quiet, 2)] == pytest.approx(max(right.values()))


def test_tiles_in_work_at_once_are_as_many_as_the_budget_holds() -> None:
    """Of ImageNet's size one takes 80 MB: a machine of many cores has to wait for memory, not refuse."""
    sizes = [baselines.memory_needed(2048, 1000, 4096, tiles) for tiles in (1, 8, 64)]
    assert sizes == sorted(sizes)
    assert [baselines.tiles_within(room, 2048, 1000, 4096) for room in sizes] == [1, 8, 64]
    assert baselines.tiles_within(0, 2048, 1000, 4096) == 1
