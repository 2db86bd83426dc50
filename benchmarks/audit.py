"""How well wrong labels are found: some flipped at random, ranked by `dseld audit`'s rule and by others of the field.

    pip install cleanlab
    python benchmarks/audit.py --train train.npz --test test.npz --lambda 2

Files hold arrays features (n, N) and labels (n,). Of the first --exemplars training images, a tenth get another label.
Then each image is ranked by how little speaks for its label: leave-one-out codes and ridge regression (ours), the share
among its 20 nearest neighbours, and cleanlab's label quality by held-out probabilities of a logistic regression (five
folds; confident learning, Northcutt et al. 2021). Accuracy on test: with the wrong labels, with the
top --most of ours taken out, or given the class that is suggested, and with the true labels.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from facts import keep, takes_json
from numpy.typing import NDArray

from dseld_cli.decoders.base import Given, shares
from dseld_cli.decoders.class_sum import ClassSum
from dseld_cli.evaluation import metrics
from dseld_cli.evaluation.audit import argued
from dseld_cli.evaluation.label_quality import label_quality, regressed
from dseld_cli.evaluation.trial import Exemplars, Sample, Setting, Trial, coded
from dseld_cli.lca.recurrence import LCAParams

NEIGHBOURS = 20
FOLDS = 5
TOPS = (500, 1000, 2000)

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


def ours(atoms: Float32, features: Float32, labels: Int64, params: LCAParams) -> tuple[Int64, Int64]:
    """Images whose label is argued against, the clearest first, and the class that is suggested for every image."""
    own = [np.array([image]) for image in range(len(labels))]
    codes = coded(Sample(features, labels, own), atoms, params)
    assert codes is not None, "it diverges"
    n_classes = int(labels.max()) + 1
    given = Given(labels, n_classes, atoms.__getitem__, features.view)
    said = ClassSum().scores(codes, given) / np.linalg.norm(features, axis=1, keepdims=True)
    witnesses = (said, regressed(lambda: [(slice(0, len(labels)), features)], labels, n_classes))
    found = argued(shares(said), labels, label_quality(witnesses, labels))
    rest = np.setdiff1d(np.argsort(found.quality, kind="stable"), found.order, assume_unique=True)
    return np.concatenate([found.order, rest]), found.other


def by_neighbours(atoms: Float32, labels: Int64) -> Int64:
    """Images by how few of their nearest neighbours have their label; of as many, by their cosines."""
    agree, alike = np.empty(len(labels)), np.empty(len(labels))
    for start in range(0, len(labels), 1000):
        cosines = atoms[start : start + 1000] @ atoms.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf
        nearest = np.argpartition(-cosines, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        same = labels[nearest] == labels[start + rows, None]
        agree[start + rows] = same.mean(axis=1)
        alike[start + rows] = np.where(same, np.take_along_axis(cosines, nearest, axis=1), 0).sum(axis=1)
    return np.lexsort((alike, agree))


def cleanlabs(features: Float32, labels: Int64) -> Int64:
    """Images by cleanlab's label quality."""
    from cleanlab.rank import get_label_quality_scores
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=300))
    probabilities = cross_val_predict(model, features, labels, cv=FOLDS, method="predict_proba")
    return np.argsort(get_label_quality_scores(labels, probabilities), kind="stable")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--lambda", dest="lambda_", type=float, required=True)
    parser.add_argument("--exemplars", type=int, default=10_000)
    parser.add_argument("--flipped", type=float, default=0.1)
    parser.add_argument("--most", type=int, default=1000, help="that are taken out or relabelled")
    takes_json(parser)
    options = parser.parse_args()
    with np.load(options.train) as file:
        features, true = file["features"][: options.exemplars].astype(np.float32), file["labels"][: options.exemplars]
    with np.load(options.test) as file:
        test = Sample(file["features"].astype(np.float32), file["labels"].astype(np.int64))
    true = true.astype(np.int64)
    atoms = features / np.linalg.norm(features, axis=1, keepdims=True)
    rng, n_classes, params = np.random.default_rng(0), int(true.max()) + 1, LCAParams(options.lambda_, 100, 100)
    wrong = np.zeros(len(true), np.bool_)
    wrong[rng.permutation(len(true))[: round(options.flipped * len(true))]] = True
    labels = np.where(wrong, (true + rng.integers(1, n_classes, len(true))) % n_classes, true)
    found: dict[str, Any] = {"exemplars": len(true), "wrong": int(wrong.sum()), "ranked": {}, "accuracy": {}}

    order, suggested = ours(atoms, features, labels, params)
    orders = {"audit": order, "20 neighbours": by_neighbours(atoms, labels), "cleanlab": cleanlabs(features, labels)}
    for name, ranked in orders.items():
        hits = {top: int(wrong[ranked[:top]].sum()) for top in TOPS}
        found["ranked"][name] = {
            top: {"precision": 100 * hit / top, "recall": 100 * hit / int(wrong.sum())} for top, hit in hits.items()
        }
        print(name, json.dumps(found["ranked"][name]), flush=True)
    worst = order[: options.most]
    found["suggested"] = metrics.percent(suggested[worst] == true[worst])
    relabelled = labels.copy()
    relabelled[worst] = suggested[worst]
    stay = np.setdiff1d(np.arange(len(labels)), worst)
    dictionaries = {
        "with wrong labels": (atoms, labels),
        f"{options.most} taken out": (atoms[stay], labels[stay]),
        f"{options.most} relabelled": (atoms, relabelled),
        "with true labels": (atoms, true),
    }
    for name, (some, its) in dictionaries.items():
        trial = Trial(Exemplars(some, its, n_classes), test, {"class-sum": ClassSum()})
        found["accuracy"][name] = trial.top1(Setting(len(some), params), name)["class-sum"]
        print(name, found["accuracy"][name], flush=True)
        keep(options.json, {"images": len(test.truth), "lambda": options.lambda_, **found})


if __name__ == "__main__":
    main()
