"""Accuracy of small dictionaries, by how their exemplars are chosen out of many.

    python benchmarks/condense.py --train train.npz --test test.npz --lambda 2 --sizes 25000 10000 5000 2000

Files hold arrays features (n, N) and labels (n,). Every dictionary has as many exemplars of each class; random ones are
averaged over SEEDS. k-means: the exemplar nearest to each centre, of which a class has at most MOST_CENTRES; herding:
the next exemplar keeps the mean of those chosen nearest to the class's (Welling 2009); condensed nearest neighbours:
what those before it get wrong, in one pass (Hart 1968), which decides the size itself, and is compared at that size
and, of fewer, by its first.
Prints a line of JSON per dictionary.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from facts import keep, takes_json
from numpy.typing import NDArray

from dseld_cli.decoders import registry
from dseld_cli.dictionary.condensed import condensed
from dseld_cli.dictionary.representative import representative
from dseld_cli.evaluation.trial import Exemplars, Sample, Setting, Trial
from dseld_cli.images.sampling import balanced
from dseld_cli.lca.recurrence import LCAParams

SEEDS = range(3)
MOST_CENTRES = 1000
"""Centres of a class that k-means looks for: more take minutes per class."""
DECODERS = ("class-sum", "max-activation", "minimum-residual")

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


def unit(rows: Float32) -> Float32:
    """Scale rows to unit norm."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def per_class(choose: Callable[[Float32, int], Int64], atoms: Float32, labels: Int64, size: int) -> Int64:
    """Let the same number of each class be chosen."""
    classes = np.unique(labels)
    found = [np.flatnonzero(labels == c) for c in classes]
    return np.concatenate([rows[choose(atoms[rows], size // len(classes))] for rows in found])


def k_means(atoms: Float32, k: int) -> Int64:
    """Take the image nearest to each centre; where two have the same one, the first others instead."""
    from sklearn.cluster import KMeans

    centres = KMeans(k, n_init=1, max_iter=20, random_state=0).fit(atoms).cluster_centers_
    nearest = np.unique((unit(centres) @ atoms.T).argmax(axis=1))
    others = np.setdiff1d(np.arange(len(atoms)), nearest)
    return np.concatenate([nearest, others[: k - len(nearest)]])


def herding(atoms: Float32, k: int) -> Int64:
    """Take the image that keeps the mean of those taken nearest to the mean of all."""
    towards, mean = atoms.mean(axis=0), atoms.mean(axis=0)
    left, found = np.ones(len(atoms), bool), []
    for _ in range(k):
        one = int(np.where(left, atoms @ towards, -np.inf).argmax())
        left[one] = False
        found.append(one)
        towards = towards + mean - atoms[one]
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--lambda", dest="lambda_", type=float, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", required=True)
    parser.add_argument("--methods", nargs="+", default=["representative", "random", "k-means", "herding", "condensed"])
    takes_json(parser)
    options = parser.parse_args()
    with np.load(options.train) as file:
        atoms, labels = unit(file["features"]), file["labels"].astype(np.int64)
    with np.load(options.test) as file:
        sample = Sample(file["features"].astype(np.float32), file["labels"].astype(np.int64))
    params = LCAParams(options.lambda_, 100, 100)
    n_classes, rows = int(labels.max()) + 1, []

    def measured(method: str, chosen: Int64, seconds: float) -> None:
        shuffled = np.random.default_rng(0).permutation(chosen)
        trial = Trial(Exemplars(atoms[shuffled], labels[shuffled], n_classes), sample, registry.decoders(DECODERS, {}))
        found: dict[str, Any] = trial.top1(Setting(len(shuffled), params), method)
        rows.append({"exemplars": len(chosen), "method": method, "seconds": round(seconds, 1), **found})
        print(json.dumps(rows[-1]), flush=True)
        keep(options.json, {"images": len(sample.truth), "lambda": options.lambda_, "rows": rows})

    measured("all", np.arange(len(labels)), 0)
    began = time.monotonic()
    order = representative(atoms.__getitem__, labels, 0, len(labels))
    ordered = time.monotonic() - began
    along = np.zeros(0, np.int64)
    if "condensed" in options.methods:
        began = time.monotonic()
        along = condensed(atoms, labels, 0)
        measured("condensed", along, time.monotonic() - began)
        measured("representative", order[: len(along)], ordered)
    for size in options.sizes:
        for method in options.methods:
            if method == "representative":
                measured(method, order[:size], ordered)
            if method == "condensed" and size < len(along):
                measured(method, along[:size], 0)
            for seed in SEEDS if method == "random" else ():
                measured(method, balanced(labels, seed)[:size], 0)
            if method == "herding" or (method == "k-means" and size <= MOST_CENTRES * n_classes):
                began = time.monotonic()
                chosen = per_class(k_means if method == "k-means" else herding, atoms, labels, size)
                measured(method, chosen, time.monotonic() - began)


if __name__ == "__main__":
    main()
