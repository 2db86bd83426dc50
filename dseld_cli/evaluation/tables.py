"""An evaluation as files: figures as JSON, tables as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from dseld_cli.evaluation import plots
from dseld_cli.evaluation.evaluation import Evaluation
from dseld_cli.evaluation.gallery import without_path
from dseld_cli.evaluation.metrics import Confusion
from dseld_cli.evaluation.paper import papers_firing
from dseld_cli.runtime.progress import Track, quiet
from dseld_cli.runtime.text import cell, json_text
from dseld_cli.store import project as paths


def figures(evaluation: Evaluation, track: Track = quiet) -> dict[str, Any]:
    """Return the main figures, as metrics.json has them."""
    return {
        "dataset": without_path(evaluation.features.info.dataset),
        "backbone": str(evaluation.dictionary.info.extractor["backbone"]),
        **evaluation.setting(),
        "images_in_dictionary": evaluation.in_dictionary(track),
        "firing": evaluation.firing.percent(),
        "decoders": evaluation.summaries(),
        "baselines": {name: {"top1": result["top1"]} for name, result in evaluation.baseline_summaries().items()},
    }


def files(evaluation: Evaluation, main: Mapping[str, Any]) -> dict[Path, Iterable[bytes]]:
    """Content of every file of an evaluation, in pieces, the main figures last."""
    folder = paths.evaluation(evaluation.split)
    per_class, confusion = evaluation.per_class(), evaluation.confusion()
    pairs = _confusion_rows(confusion, evaluation.classes, evaluation.split)
    firing = evaluation.firing
    by_class = _per_class_rows(per_class, evaluation.split)
    return {
        folder / "per_class.csv": csv_lines(["split", "class", *per_class], by_class),
        folder / "confusion.csv": csv_lines(["split", "decoder", "true", "predicted", "images"], pairs),
        folder / "predictions.csv": predictions(evaluation),
        folder / "accuracy.png": [plots.png(plots.per_class_accuracy, per_class)],
        folder / "confusion.png": [plots.png(plots.confusion_matrices, confusion, evaluation.classes)],
        folder / "firing.png": [
            plots.png(plots.firing_curve, firing.curve, papers_firing(main["exemplars"]), firing.ever)
        ],
        paths.metrics(evaluation.split): [f"{json_text(main)}\n".encode()],
    }


def predictions(evaluation: Evaluation) -> Iterator[bytes]:
    """Table of every coded image: where it came from, its true class, and each decoder's class and score."""
    names = [*evaluation.classes, "undecided"]
    columns: list[Iterable[object]] = [repeat(evaluation.split), evaluation.source(), evaluation.true_names()]
    header = ["split", "image", "true"]
    for name, found in evaluation.predictions.items():
        columns += [[names[label] for label in found.labels], (f"{score:.6g}" for score in found.highest)]
        header += [name, f"{name} score"]
    return csv_lines(header, zip(*columns, strict=False))


def _per_class_rows(per_class: Mapping[str, Mapping[str, float]], split: str) -> Iterable[list[object]]:
    for name in next(iter(per_class.values())):
        yield [split, name, *(accuracies[name] for accuracies in per_class.values())]


def _confusion_rows(confusion: Mapping[str, Confusion], classes: Sequence[str], split: str) -> Iterable[list[object]]:
    """Every pair that occurs."""
    names = [*classes, "undecided"]
    for decoder, its in confusion.items():
        for true, predicted, images in zip(its.true, its.predicted, its.images, strict=True):
            yield [split, decoder, names[true], names[predicted], images]


def csv_table(header: Sequence[str], rows: Iterable[Iterable[object]]) -> bytes:
    """Write a table as CSV."""
    return b"".join(csv_lines(header, rows))


def csv_lines(header: Sequence[str], rows: Iterable[Iterable[object]]) -> Iterator[bytes]:
    """Write a table as CSV, line by line."""
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    for row in chain([header], rows):
        writer.writerow([cell(value) if isinstance(value, str) else value for value in row])
        yield line.getvalue().encode()
        line.seek(0)
        line.truncate()
