"""`dseld evaluate`: predictions against labels, a table, metrics.json and plots."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
    results = {}
    for name in decoders or params.decoders:
        predictions = store.open_store(paths.predictions(name), "predictions")
        store.require_input(predictions, "codes", codes)
        results[name] = accuracy(predictions.read("labels"), truth, classes)
    firing = codes.read("firing") / codes.provenance["atoms"]
    metrics = {**_setting(codes, dictionary), "firing": firing_shares(firing), "decoders": results}
    _write_json(metrics)
    plots.per_class_accuracy({name: r["per_class"] for name, r in results.items()}, paths.PLOTS / "accuracy.png")
    plots.firing_curve(firing.mean(axis=0), paths.PLOTS / "firing.png")
    _show(metrics)


def accuracy(predicted: NDArray[np.int64], truth: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    """Top-1 overall and by class (in percent; classes without an image are left out), and images left undecided."""
    right = predicted == truth
    present = np.unique(truth[truth >= 0])
    return {
        "top1": _percent(right),
        "undecided": int((predicted == UNDECIDED).sum()),
        "per_class": {classes[c]: _percent(right[truth == c]) for c in present},
    }


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


def _write_json(metrics: dict[str, Any]) -> None:
    draft = paths.METRICS.with_name(paths.METRICS.name + ".partial")
    draft.write_text(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(paths.METRICS)


def _show(metrics: dict[str, Any]) -> None:
    say(
        f"{metrics['images']} test images, {metrics['exemplars']} exemplars of {metrics['features']} features, "
        f"{metrics['classes']} classes, lambda {metrics['lambda']:g}, tau {metrics['tau']:g}, {metrics['steps']} steps"
    )
    firing = metrics["firing"]
    say(f"neurons firing: {firing['average']:.2f} % on average, {firing['peak']:.2f} % at an image's peak")
    rows = []
    for name, result in metrics["decoders"].items():
        worst = min(result["per_class"], key=result["per_class"].get)
        rows.append(
            [name, f"{result['top1']:.2f} %", f"{worst} {result['per_class'][worst]:.2f} %", str(result["undecided"])]
        )
    table("Accuracy", ["decoder", "top-1", "hardest class", "undecided"], rows)
