"""`dseld evaluate`: predictions against labels, a table, metrics.json and plots."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli import paths, plots, store
from dseld_cli.console import say, table
from dseld_cli.decoders import UNDECIDED
from dseld_cli.dictionary import relabel
from dseld_cli.params import Params


def run(params: Params, decoders: Sequence[str] | None = None, split: str = "test") -> None:
    """Evaluate the given decoders' predictions, or those of all that params.yaml lists.

    Raises:
        UserError: if predictions are missing, or not of these codes and features.

    """
    dictionary = store.open_store(paths.DICTIONARY, "dictionary")
    features = store.open_store(paths.features(split), "features")
    codes = store.open_store(paths.codes(split), "codes")
    store.require_input(codes, "features", features)
    store.require_input(codes, "dictionary", dictionary)
    classes = dictionary.provenance["classes"]
    truth = relabel(features.read("labels"), features.provenance["classes"], classes)[codes.read("rows")]
    results, per_class = {}, {}
    for name in decoders or params.decoders:
        predictions = store.open_store(paths.predictions(name), "predictions")
        store.require_input(predictions, "codes", codes)
        predicted = predictions.read("labels")
        results[name] = accuracy(predicted, truth)
        per_class[name] = per_class_accuracy(predicted, truth, classes)
    firing = codes.read("firing") / codes.provenance["atoms"]
    metrics = {**_setting(codes, dictionary), "firing": firing_shares(firing), "decoders": results}
    _replace(paths.METRICS, json.dumps(metrics, indent=2) + "\n")
    _replace(paths.PER_CLASS, _csv(per_class))
    plots.per_class_accuracy(per_class, paths.PLOTS / "accuracy.png")
    plots.firing_curve(firing.mean(axis=0), paths.PLOTS / "firing.png")
    _show(metrics, per_class)


def accuracy(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> dict[str, Any]:
    """Top-1 in percent, and how many images were left undecided, which count as wrong."""
    return {"top1": _percent(predicted == truth), "undecided": int((predicted == UNDECIDED).sum())}


def per_class_accuracy(
    predicted: NDArray[np.int64], truth: NDArray[np.int64], classes: Sequence[str]
) -> dict[str, float]:
    """Top-1 in percent of each class that has an image."""
    return {classes[c]: _percent(predicted[truth == c] == c) for c in np.unique(truth[truth >= 0])}


def firing_shares(firing: NDArray[np.float64]) -> dict[str, float]:
    """Share of neurons firing, in percent, from shares (n, K): average over images and steps; mean of images' peaks."""
    return {
        "average": round(100 * float(firing.mean()), 4),
        "peak": round(100 * float(firing.max(axis=1).mean()), 4),
    }


def _percent(right: NDArray[np.bool_]) -> float:
    return round(100 * float(right.mean()), 2)


def _setting(codes: store.Store, dictionary: store.Store) -> dict[str, Any]:
    exemplars, n_features = dictionary.shape("atoms")
    return {
        "images": codes.shape("rows")[0],
        "exemplars": exemplars,
        "features": n_features,
        "classes": len(dictionary.provenance["classes"]),
        **{key: codes.provenance[key] for key in ("lambda", "tau", "steps")},
    }


def _csv(per_class: dict[str, dict[str, float]]) -> str:
    """One row a class, one column a decoder."""
    lines = io.StringIO()
    rows = csv.writer(lines, lineterminator="\n")
    rows.writerow(["class", *per_class])
    for name in next(iter(per_class.values())):
        rows.writerow([name, *(accuracies[name] for accuracies in per_class.values())])
    return lines.getvalue()


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(path.name + ".partial")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _show(metrics: dict[str, Any], per_class: dict[str, dict[str, float]]) -> None:
    say(
        f"{metrics['images']} test images, {metrics['exemplars']} exemplars of {metrics['features']} features, "
        f"{metrics['classes']} classes, lambda {metrics['lambda']:g}, tau {metrics['tau']:g}, {metrics['steps']} steps"
    )
    firing = metrics["firing"]
    say(f"neurons firing: {firing['average']:.2f} % on average, {firing['peak']:.2f} % at an image's peak")
    rows = []
    for name, result in metrics["decoders"].items():
        hardest, least = min(per_class[name].items(), key=lambda item: item[1])
        rows.append([name, f"{result['top1']:.2f} %", f"{hardest} {least:.2f} %", str(result["undecided"])])
    table("Accuracy", ["decoder", "top-1", "hardest class", "undecided"], rows)
