"""How well images of no known class are told, and what sets of classes hold, over draws of what is held out.

    python benchmarks/novelty.py --train train.npz --test test.npz --lambda 2 --unknown 0,1,2,3,4 --sets

Files hold arrays features (n, N) and labels (n,). With --unknown CLASSES, exemplars are of all other classes, and the
test images of those are told from the rest; with --others FILE, its images from all of test. Scores: likeness, and the
cosine with the k-th nearest exemplar. With --sets, conformal sets by class-sum: over SEEDS, half of the test images are
drawn to learn from, and the others looked at.
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
from dseld_cli.evaluation.baselines import cosine_to_nearest
from dseld_cli.evaluation.calibration import Calibration, auroc, likeness
from dseld_cli.evaluation.exemplars import TiledExemplars
from dseld_cli.evaluation.trial import Sample, coded
from dseld_cli.lca.atoms import Atoms
from dseld_cli.lca.recurrence import LCAParams

SEEDS = range(10)
COVERAGES = (0.8, 0.9, 0.95, 0.99)
NEIGHBOURS = (1, 20)

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


def loaded(file: Path) -> tuple[Float32, Int64]:
    with np.load(file) as arrays:
        return arrays["features"].astype(np.float32), arrays["labels"].astype(np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--lambda", dest="lambda_", type=float, required=True)
    parser.add_argument("--images", type=int, default=2000, help="test images that are coded, of each kind")
    parser.add_argument("--unknown", nargs="*", default=[], help="classes, with commas between them; may be several")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="images of no known class")
    parser.add_argument("--sets", action="store_true")
    takes_json(parser)
    options = parser.parse_args()
    features, labels = loaded(options.train)
    atoms = features / np.linalg.norm(features, axis=1, keepdims=True)
    test, truth = loaded(options.test)
    n_classes, params, found = int(labels.max()) + 1, LCAParams(options.lambda_, 100, 100), {}
    some = np.random.default_rng(0).permutation(len(truth))

    def told(known: Int64, rows: Float32, unknown: Float32) -> dict[str, Any]:
        """AUROC of each score, over the exemplars `known`."""
        scores: dict[str, list[Float32]] = {}
        for images in (rows, unknown):
            codes = coded(Sample(images, np.zeros(len(images), np.int64)), atoms[known], params)
            assert codes is not None, "it diverges"
            given = Given(labels[known], n_classes, atoms[known].__getitem__, images.view)
            scores.setdefault("likeness", []).append(likeness(codes, given))
            exemplars = TiledExemplars(Atoms.of(atoms[known]), labels[known])
            for k in NEIGHBOURS:
                parts = (images[i : i + 512] for i in range(0, len(images), 512))
                nearest = [cosine_to_nearest(part, exemplars, k) for part in parts]
                scores.setdefault(f"cosine {k}", []).append(np.concatenate(nearest))
        return {name: round(100 * auroc(*both), 2) for name, both in scores.items()}

    for text in options.unknown:
        new = np.isin(truth[some], [int(c) for c in text.split(",")])
        known = np.flatnonzero(~np.isin(labels, [int(c) for c in text.split(",")]))
        pair = (test[some[mask][: options.images]] for mask in (~new, new))
        found[f"without {text}"] = told(known, *pair)
        print(json.dumps(found), flush=True)
    for file in options.others:
        found[file.stem] = told(np.arange(len(labels)), test[some[: options.images]], loaded(file)[0][: options.images])
        print(json.dumps(found), flush=True)
    if options.sets:
        found["sets"] = sets(Sample(test, truth), atoms, labels, n_classes, params)
    print(json.dumps(found), flush=True)
    keep(options.json, {"images": options.images, "lambda": options.lambda_, **found})


def sets(sample: Sample, atoms: Float32, labels: Int64, n_classes: int, params: LCAParams) -> dict[str, Any]:
    """Coverage and size of the sets, and calibration error, over draws of what is learned from."""
    codes = coded(sample, atoms, params)
    assert codes is not None, "it diverges"
    given = Given(labels, n_classes, atoms.__getitem__, lambda: sample.features)
    scores, truth, seen = shares(ClassSum().scores(codes, given)), sample.truth, likeness(codes, given)
    rows: list[dict[str, Any]] = []
    for seed in SEEDS:
        mine, others = np.array_split(np.random.default_rng(seed).permutation(len(truth)), 2)
        learned = Calibration.learned(scores[mine], seen[mine], truth[mine])
        right = scores[others].argmax(axis=1) == truth[others]
        row: dict[str, Any] = {
            "shares": metrics.calibration_error(scores[others].max(axis=1), right),
            "probabilities": metrics.calibration_error(learned.probabilities(scores[others]).max(axis=1), right),
            "false alarms 0.05": metrics.percent(learned.unknown(seen[others], 0.05)),
        }
        for coverage in COVERAGES:
            held = learned.sets(scores[others], coverage)
            row[f"covered {coverage}"] = metrics.percent(held[np.arange(len(others)), truth[others]])
            row[f"classes {coverage}"] = round(float(held.sum(axis=1).mean()), 2)
        rows.append(row)
    return {key: {"mean": round(float(np.mean([row[key] for row in rows])), 2),
                  "least": min(row[key] for row in rows),
                  "most": max(row[key] for row in rows)} for key in rows[0]}  # fmt: skip


if __name__ == "__main__":
    main()
