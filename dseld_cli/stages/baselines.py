"""`dseld baselines`: the same features and exemplars without coding, so that one sees what the coding adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dseld_cli import store
from dseld_cli.config.schema import Params
from dseld_cli.dictionary.checks import require_same_extractor
from dseld_cli.dictionary.transform import Seen
from dseld_cli.errors import UserError
from dseld_cli.evaluation.baselines import Baseline, Labels, Rows, class_means, logistic, neighbours
from dseld_cli.evaluation.scored import keep_scores
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.console import say, track
from dseld_cli.store import project as paths

IMAGES = 1000
"""Images classified at a time, at most."""
COSINES = 2**24
"""Inner products of images and exemplars that are in memory at a time, at most."""


def run(params: Params, names: Sequence[str] | None = None, split: str = "test") -> None:
    """Fit each baseline to the atoms, and classify a whole split.

    Raises:
        UserError: if there is no dictionary, the features do not go with it, or the budget does not hold the atoms.

    """
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    features = store.features_of(split)
    require_same_extractor(features, dictionary)
    _require_room(params, dictionary, features)
    atoms, labels, classes = dictionary.read("atoms"), dictionary.read("labels"), dictionary.info.classes
    if not (there := atoms.any(axis=1)).all():  # a removed exemplar leaves a tombstone of zeros
        atoms, labels = atoms[there], labels[there]
    if len(np.unique(labels)) < 2:
        raise UserError(f"{dictionary.path} has exemplars of one class only: there is nothing to tell apart")
    inputs = store.fingerprints(dictionary=dictionary, features=features)
    wanted = names or params.baselines.names
    if not wanted:
        (paths.BASELINES / split).mkdir(parents=True, exist_ok=True)  # a stage's output has to be there
        say("params.yaml lists no baselines")
    for name in wanted:
        model = fitted(name, atoms, labels, len(classes), params.baselines.neighbours)
        if model.said:
            say(f"{name}: {model.said}")
        path, shape = paths.baseline(name, split), (features.shape("features")[0], len(classes))
        info = store.BaselineInfo(inputs=inputs, split=split, classes=classes, baseline=name)
        scores = _classified(model, Seen.by(dictionary, features), len(atoms), name)
        keep_scores(path, info, shape, scores, lambda block: block.argmax(axis=1))
        say(f"{path}: {shape[0]} images")


def fitted(name: str, atoms: Rows, labels: Labels, n_classes: int, k: int) -> Baseline:
    """Fit the classifier of a name that params.yaml's baselines.names may have to unit-norm exemplars."""
    if name == "nearest-class-mean":
        return class_means(atoms, labels, n_classes)
    if name == "cosine-knn":
        return neighbours(atoms, labels, n_classes, k)
    return logistic(atoms, labels, n_classes, track)


def _require_room(params: Params, dictionary: store.Dictionary, features: store.Features) -> None:
    (m, n), classes = dictionary.shape("atoms"), len(dictionary.info.classes)
    while_fitting = 4 * (2 * m * n + 3 * m * classes)
    while_classifying = 12 * COSINES + 4 * store.spec.ROWS * n
    needed = while_fitting + while_classifying + 24 * store.spec.ROWS * classes
    arrays_within(params.run.memory, needed, f"{m} exemplars of {n} features, and what baselines make of them")


def _classified(model: Baseline, seen: Seen, n_atoms: int, name: str) -> Iterator[Rows]:
    """Scores of the classes, block by block, (B, n_classes)."""
    n = seen.features.shape("features")[0]
    parts = list(store.blocks(n, max(1, min(IMAGES, COSINES // n_atoms))))
    for part in track(parts, n, name, length=lambda part: part.stop - part.start):
        images = seen.rows(part)
        yield model.scores(images / np.maximum(np.linalg.norm(images, axis=1, keepdims=True), 1e-12))
