"""`dseld evaluate`: predictions against labels, a table, metrics.json and plots."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli import paths, store
from dseld_cli.config.schema import Params
from dseld_cli.dictionary.checks import relabel
from dseld_cli.dictionary.manifest import Layout
from dseld_cli.errors import UserError
from dseld_cli.evaluation import metrics, plots
from dseld_cli.runtime.console import say, table
from dseld_cli.runtime.outputs import together

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """What a decoder or a baseline says of the coded images: labels (n,), scores (n, n_classes)."""

    labels: Int64
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Evaluation:
    """Everything that is known about the coded images of a split.

    Attributes:
        features, dictionary, codes: the stores in force.
        truth: (n,) true classes, -1 where the dictionary lacks it.
        predictions, baselines: by name.

    """

    features: store.Store
    dictionary: store.Store
    codes: store.Store
    truth: Int64
    predictions: Mapping[str, Predictions]
    baselines: Mapping[str, Predictions]

    @property
    def classes(self) -> list[str]:
        """Return the names of the classes."""
        return list(self.dictionary.provenance["classes"])

    def summaries(self) -> dict[str, dict[str, float | int]]:
        """Return the main figures of each decoder."""
        return {name: metrics.summary(p.labels, p.scores, self.truth) for name, p in self.predictions.items()}

    def baseline_summaries(self) -> dict[str, dict[str, float | int]]:
        """Return the main figures of each baseline."""
        return {name: metrics.summary(p.labels, p.scores, self.truth) for name, p in self.baselines.items()}

    def per_class(self) -> dict[str, dict[str, float]]:
        """Return the accuracy of each decoder by class."""
        found = self.predictions.items()
        return {name: metrics.per_class_accuracy(p.labels, self.truth, self.classes) for name, p in found}

    def confusion(self) -> dict[str, Int64]:
        """Return the confusion matrix of each decoder."""
        found = self.predictions.items()
        return {name: metrics.confusion(p.labels, self.truth, len(self.classes)) for name, p in found}

    def firing(self) -> NDArray[np.float64]:
        """Return the share of the neurons firing, (n, K)."""
        return np.asarray(self.codes.read("firing") / self.codes.provenance["atoms"], np.float64)


def run(params: Params, decoders: Sequence[str] | None = None, split: str = "test") -> None:
    """Evaluate the predictions of the given decoders; without any, of all that params.yaml lists, and the baselines.

    Trained decoders and baselines are left out, and named, if they were not run for these codes.

    Raises:
        UserError: if other predictions are missing, or not of these codes and features.

    """
    write(collect(params, decoders, split))


def collect(params: Params, decoders: Sequence[str] | None = None, split: str = "test") -> Evaluation:
    """Bring together predictions, true classes and codes, see `run`."""
    dictionary = store.open_store(paths.DICTIONARY, "dictionary")
    features = store.open_store(paths.features(split), "features")
    codes = store.open_store(paths.codes(split), "codes")
    store.require_input(codes, "features", features)
    store.require_input(codes, "dictionary", dictionary)
    rows, classes = codes.read("rows"), dictionary.provenance["classes"]
    truth = relabel(features.read("labels"), features.provenance["classes"], classes)[rows]
    found = {name: of_decoder(name, codes) for name in decoders or params.decoders}
    compared: dict[str, Predictions] = {}
    if not decoders:
        found |= _if_there(params.trained_decoders, lambda name: of_decoder(name, codes))
        compared = _if_there(params.baselines.names, lambda name: of_baseline(name, dictionary, features, rows))
    return Evaluation(features, dictionary, codes, truth, found, compared)


def of_decoder(name: str, codes: store.Store) -> Predictions:
    """Read the predictions of a decoder for these codes.

    Raises:
        UserError: if there are none.

    """
    predictions = store.open_store(paths.predictions(name), "predictions")
    store.require_input(predictions, "codes", codes)
    return Predictions(predictions.read("labels"), predictions.read("scores"))


def of_baseline(name: str, dictionary: store.Store, features: store.Store, rows: Int64) -> Predictions:
    """Read the predictions of a baseline that learned from these exemplars, for the images that were coded.

    Raises:
        UserError: if there are none.

    """
    predictions = store.open_store(paths.baseline(name), "baseline")
    store.require_input(predictions, "dictionary", dictionary)
    store.require_input(predictions, "features", features)
    return Predictions(predictions.read("labels")[rows], predictions.read("scores")[rows])


def _if_there(names: Iterable[str], read: Any) -> dict[str, Predictions]:
    found = {}
    for name in names:
        try:
            found[name] = read(name)
        except UserError as error:
            say(f"without {name}: {error}")
    return found


def write(evaluation: Evaluation) -> None:
    """Write metrics.json, tables and plots, and show the main figures."""
    results, baselines = evaluation.summaries(), evaluation.baseline_summaries()
    per_class, confusion, firing = evaluation.per_class(), evaluation.confusion(), evaluation.firing()
    report = {
        **setting(evaluation),
        "firing": firing_shares(firing),
        "decoders": results,
        "baselines": {name: {"top1": result["top1"]} for name, result in baselines.items()},
    }
    pairs = _confusion_rows(confusion, evaluation.classes)
    with together() as aside:
        aside(paths.METRICS).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        aside(paths.PER_CLASS).write_text(_csv(["class", *per_class], _per_class_rows(per_class)), encoding="utf-8")
        aside(paths.CONFUSION).write_text(_csv(["decoder", "true", "predicted", "images"], pairs), encoding="utf-8")
        plots.per_class_accuracy(per_class, aside(paths.PLOTS / "accuracy.png"))
        plots.confusion_matrices(confusion, evaluation.classes, aside(paths.PLOTS / "confusion.png"))
        plots.firing_curve(firing.mean(axis=0), aside(paths.PLOTS / "firing.png"))
    _show(report, results, baselines, per_class)


def firing_shares(firing: NDArray[np.float64]) -> dict[str, float]:
    """Share of neurons firing, in percent, from shares (n, K): average over images and steps; mean of images' peaks."""
    return {
        "average": round(100 * float(firing.mean()), 4),
        "peak": round(100 * float(firing.max(axis=1).mean()), 4),
    }


def setting(evaluation: Evaluation) -> dict[str, Any]:
    """Sizes and parameters that the figures hold for."""
    return {
        "images": len(evaluation.truth),
        "exemplars": int(np.count_nonzero(~Layout.of(evaluation.dictionary).gap)),
        "features": evaluation.dictionary.shape("atoms")[1],
        "classes": len(evaluation.classes),
        **{key: evaluation.codes.provenance[key] for key in ("lambda", "tau", "steps")},
    }


def _per_class_rows(per_class: Mapping[str, Mapping[str, float]]) -> Iterable[list[object]]:
    for name in next(iter(per_class.values())):
        yield [name, *(accuracies[name] for accuracies in per_class.values())]


def _confusion_rows(confusion: Mapping[str, Int64], classes: Sequence[str]) -> Iterable[list[object]]:
    """Every pair that occurs."""
    names = [*classes, "undecided"]
    for decoder, counts in confusion.items():
        for true, predicted in zip(*counts.nonzero(), strict=True):
            yield [decoder, names[true], names[predicted], counts[true, predicted]]


def _csv(header: list[str], rows: Iterable[list[object]]) -> str:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return lines.getvalue()


def _show(
    report: dict[str, Any],
    results: Mapping[str, Mapping[str, float]],
    baselines: Mapping[str, Mapping[str, float]],
    per_class: Mapping[str, Mapping[str, float]],
) -> None:
    say(
        f"{report['images']} test images, {report['exemplars']} exemplars of {report['features']} features, "
        f"{report['classes']} classes, lambda {report['lambda']:g}, tau {report['tau']:g}, {report['steps']} steps"
    )
    firing = report["firing"]
    say(f"neurons firing: {firing['average']:.2f} % on average, {firing['peak']:.2f} % at an image's peak")
    columns = ["decoder", "top-1", "95 % interval", "top-5 %", "macro-F1 %", "hardest class", "undecided"]
    rows = [
        [*_row(name, result), _hardest(per_class[name]), str(result["undecided"])] for name, result in results.items()
    ]
    table("Accuracy", columns, rows)
    if baselines:
        title = "Without coding: the same features and exemplars"
        table(title, ["baseline", *columns[1:5]], [_row(*item) for item in baselines.items()])


def _row(name: str, result: Mapping[str, float]) -> list[str]:
    return [
        name,
        f"{result['top1']:.2f} %",
        f"{result['low']:.2f} to {result['high']:.2f}",
        f"{result['top5']:.2f}",
        f"{result['macro_f1']:.2f}",
    ]


def _hardest(accuracies: Mapping[str, float]) -> str:
    name, least = min(accuracies.items(), key=lambda item: item[1])
    return f"{name} {least:.2f} %"
