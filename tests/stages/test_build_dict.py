"""`dseld build-dict`: what is drawn, from where, in which order."""

from pathlib import Path

import numpy as np
import pytest

from dseld_cli import store
from dseld_cli.store import project as paths
from tests.conftest import Run

COUNTS = np.array([40, 4, 10])


@pytest.fixture
def features(project: Path, run: Run) -> np.ndarray:
    """Features of an unbalanced split; rows 0 and 1 are the same."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(3), COUNTS))
    found = np.random.default_rng(1).normal(size=(len(labels), 5)).astype(np.float32)
    found[1] = found[0]
    np.savez("x.npz", features=found, labels=labels, classes=["ant", "bee", "cat"], extractor="x")
    run("extract --from-npz x.npz --split train")
    return found


def base() -> store.Store:
    return store.open_store(paths.BASE, store.BaseInfo)


def test_random_draws_keep_proportions_and_prefixes(features: np.ndarray, run: Run) -> None:
    run("build-dict --size 30")
    thirty = base().read("source")
    run("build-dict --size 10")
    assert base().read("source").tolist() == thirty[:10].tolist()
    run("build-dict")
    assert len(base().read("source")) == 54


def test_balanced_draws_go_round_the_classes(features: np.ndarray, run: Run) -> None:
    said = run("build-dict --size 24 --sampling balanced").stdout
    labels = base().read("labels")
    assert np.bincount(labels).tolist() == [10, 4, 10]
    assert "atoms per class: ant 10, bee 4, cat 10" in said
    for end in range(1, 13):
        assert np.ptp(np.bincount(labels[:end], minlength=3)) <= 1
    rows = [int(name.partition("/")[2]) for name in base().read("source")]
    unit = features[rows] / np.linalg.norm(features[rows], axis=1, keepdims=True)
    np.testing.assert_allclose(base().read("atoms"), unit, rtol=1e-6)


def test_exact_duplicates_are_dropped_by_choice(features: np.ndarray, run: Run) -> None:
    said = run("build-dict --duplicates drop").stdout
    assert "1 of 54 images are exact duplicates, dropped" in said
    assert base().shape("atoms") == (53, 5)
    assert "x.npz/1" not in base().read("source")


def test_any_split_may_be_the_source(features: np.ndarray, run: Run) -> None:
    run("extract --from-npz x.npz --split val")
    run("build-dict --split val")
    assert base().info.split == "val"
    assert "no features store at data/features/test.zarr" in run("build-dict --split test", ok=False).stderr


def test_a_class_without_atoms_is_a_warning(features: np.ndarray, run: Run) -> None:
    for seed in range(20):
        run(f"build-dict --size 3 --seed {seed}")
        if not np.bincount(base().read("labels"), minlength=3).all():
            break
    assert "no atom of" in run(f"build-dict --size 3 --seed {seed}").stderr
