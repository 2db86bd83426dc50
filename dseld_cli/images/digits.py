"""scikit-learn's digits as `sklearn.datasets` gives them, from the file it reads: its import alone takes seconds."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 8
FILE = "datasets/data/digits.csv.gz"
"""Below scikit-learn's folder: a row per image, its pixels of 0 to 16, then its digit."""

Int64 = NDArray[np.int64]


def load() -> tuple[NDArray[np.float64], Int64]:
    """Pixels of 0 to 16 (n, 8, 8), and digits (n,)."""
    installed = find_spec("sklearn")
    for folder in (installed.submodule_search_locations if installed else None) or ():
        if (file := Path(folder, FILE)).is_file():
            rows = np.loadtxt(file, delimiter=",")
            return rows[:, :-1].reshape(-1, SIDE, SIDE), rows[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits  # another version, which has it elsewhere

    digits = load_digits()
    return digits.images, digits.target.astype(np.int64)


def parts(labels: Int64, share: float) -> tuple[Int64, Int64]:
    """Rows to train on, and `share` of them all to test on, drawn by class.

    They are those of sklearn.model_selection.train_test_split(..., test_size=share, random_state=0, stratify=labels).
    """
    rng, counts = np.random.RandomState(0), np.bincount(labels)
    n_test = math.ceil(share * len(labels))
    to_train = _share_out(counts, len(labels) - n_test, rng)
    to_test = _share_out(counts - to_train, n_test, rng)
    train, test = [], []
    for digit, count in enumerate(counts):
        rows = np.flatnonzero(labels == digit)[rng.permutation(count)]
        train.append(rows[: to_train[digit]])
        test.append(rows[to_train[digit] : to_train[digit] + to_test[digit]])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(test))


def _share_out(counts: Any, wanted: int, rng: np.random.RandomState) -> Any:
    """How many of each class make up so many: its share, rounded; ties are drawn."""
    exact = counts / counts.sum() * wanted
    found = np.floor(exact)
    for rest in np.unique(exact - found)[::-1]:
        classes = np.flatnonzero(exact - np.floor(exact) == rest)
        more = min(len(classes), wanted - int(found.sum()))
        if not more:
            break
        found[rng.choice(classes, size=more, replace=False)] += 1
    return found.astype(np.int64)
