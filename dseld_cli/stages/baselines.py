"""`dseld baselines`: the same features and exemplars without coding, so that one sees what the coding adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dseld_cli import store
from dseld_cli.config.schema import Params
from dseld_cli.dictionary.atoms import atoms_of, resident_atoms
from dseld_cli.dictionary.checks import require_same_extractor
from dseld_cli.dictionary.labels import labels_of_atoms
from dseld_cli.dictionary.transform import Seen
from dseld_cli.errors import UserError
from dseld_cli.evaluation.baselines import Baseline, class_means, memory_needed, neighbours, tiles_within
from dseld_cli.evaluation.exemplars import Rows, TiledExemplars
from dseld_cli.evaluation.probe import logistic
from dseld_cli.evaluation.scored import keep_scores
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.console import say, track
from dseld_cli.store import project as paths

IMAGES = 4096
"""Images classified at a time: for as many, exemplars that are not in memory are read once."""


def run(params: Params, names: Sequence[str] | None = None, split: str = "test") -> None:
    """Fit each baseline to the atoms, and classify a whole split.

    Raises:
        UserError: if there is no dictionary, the features do not go with it, or the budget holds too little of them.

    """
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    features = store.features_of(split)
    require_same_extractor(features, dictionary)
    classes = dictionary.info.classes
    exemplars, most = _exemplars(dictionary, params.run.memory)
    if len(exemplars.classes) < 2:
        raise UserError(f"{dictionary.path} has exemplars of one class only: there is nothing to tell apart")
    inputs = store.fingerprints(dictionary=dictionary, features=features)
    wanted = names or params.baselines.names
    if not wanted:
        (paths.BASELINES / split).mkdir(parents=True, exist_ok=True)  # a stage's output has to be there
        say("params.yaml lists no baselines")
    for name in wanted:
        model = fitted(name, exemplars, len(classes), params.baselines.neighbours, most)
        if model.said:
            say(f"{name}: {model.said}")
        path, shape = paths.baseline(name, split), (features.shape("features")[0], len(classes))
        info = store.BaselineInfo(inputs=inputs, split=split, classes=classes, baseline=name)
        scores = _classified(model, Seen.by(dictionary, features), name)
        keep_scores(path, info, shape, scores, lambda block: block.argmax(axis=1))
        say(f"{path}: {shape[0]} images")


def _exemplars(dictionary: store.Dictionary, memory: int) -> tuple[TiledExemplars, int]:
    """Exemplars, in memory if the budget allows, and how many tiles of them it allows to be in work at once.

    Raises:
        UserError: if it does not allow one.

    """
    (m, n_features), n_classes = dictionary.shape("atoms"), len(dictionary.info.classes)
    streamed, least = resident_atoms(0, m, n_features), memory_needed(n_features, n_classes, IMAGES, 1)
    what = f"exemplars of {n_features} features and {n_classes} classes, and what baselines make of them"
    room = arrays_within(memory, streamed + least, what)
    for_atoms = memory if resident_atoms(memory, m, n_features) + least <= room else 0
    exemplars = TiledExemplars(atoms_of(dictionary, for_atoms), labels_of_atoms(dictionary))
    return exemplars, tiles_within(room - resident_atoms(for_atoms, m, n_features), n_features, n_classes, IMAGES)


def fitted(name: str, exemplars: TiledExemplars, n_classes: int, k: int, most: int) -> Baseline:
    """Fit the classifier of a name that params.yaml's baselines.names may have, with so many tiles in work at once."""
    if name == "nearest-class-mean":
        return class_means(exemplars, n_classes)
    if name == "cosine-knn":
        return neighbours(exemplars, n_classes, k)
    return logistic(exemplars, n_classes, track, most)


def _classified(model: Baseline, seen: Seen, name: str) -> Iterator[Rows]:
    """Scores of the classes, block by block, (B, n_classes)."""
    n = seen.features.shape("features")[0]
    for part in track(list(store.blocks(n, IMAGES)), n, name, length=lambda part: part.stop - part.start):
        images = seen.rows(part)
        yield model.scores(images / np.maximum(np.linalg.norm(images, axis=1, keepdims=True), 1e-12))
