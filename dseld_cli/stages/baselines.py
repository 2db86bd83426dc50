"""`dseld baselines`: the same features and exemplars without coding, so that one sees what the coding adds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from dseld_cli import paths, store
from dseld_cli.config.schema import Params
from dseld_cli.decoders.base import shares
from dseld_cli.dictionary.checks import require_same_extractor
from dseld_cli.errors import UserError
from dseld_cli.runtime.console import say, track

REGULARISATION = (1.0, 10.0, 100.0, 1000.0)
"""Inverse strengths that logistic regression chooses from, by the accuracy on a tenth of the exemplars held out."""
MOST_TO_CHOOSE_BY = 5000
"""Exemplars that this choice looks at."""
IMAGES = 1000
"""Images classified at a time."""
Rows = NDArray[np.float32]
Labels = NDArray[np.int64]


def run(params: Params, names: Sequence[str] | None = None) -> None:
    """Fit each baseline to the atoms, and classify the whole test split.

    Raises:
        UserError: if there is no dictionary, or the features do not go with it.

    """
    dictionary = store.open_store(paths.DICTIONARY, "dictionary")
    features = store.open_store(paths.features("test"), "features")
    require_same_extractor(features, dictionary)
    atoms, labels, classes = dictionary.read("atoms"), dictionary.read("labels"), dictionary.provenance["classes"]
    there = atoms.any(axis=1)  # a removed exemplar leaves a gap of zeros
    atoms, labels = atoms[there], labels[there]
    if len(np.unique(labels)) < 2:
        raise UserError(f"{dictionary.path} has exemplars of one class only: there is nothing to tell apart")
    paths.BASELINES.mkdir(parents=True, exist_ok=True)
    facts = store.provenance({"dictionary": dictionary, "features": features}, classes=classes)
    for name in names or params.baselines.names:
        model = fitted(name, atoms, labels, params.baselines.neighbours)
        scores = np.concatenate(list(_classified(model, features, len(classes), name)))
        arrays = {"labels": scores.argmax(axis=1), "scores": scores}
        store.write(paths.baseline(name), "baseline", {**facts, "baseline": name}, arrays)
        say(f"{paths.baseline(name)}: {len(scores)} images")


class ClassMeans:
    """Nearest class mean by cosine, with a score a class, in scikit-learn's terms."""

    def __init__(self, atoms: Rows, labels: Labels) -> None:
        self.classes_ = np.unique(labels)
        means = np.stack([atoms[labels == c].mean(axis=0) for c in self.classes_])
        self.means = means / np.linalg.norm(means, axis=1, keepdims=True)

    def predict_proba(self, images: Rows) -> Rows:
        """Cosines with the means, (n, n_classes), as shares of their sum."""
        return shares(images @ self.means.T)


def fitted(name: str, atoms: Rows, labels: Labels, neighbours: int) -> Any:
    """Fit scikit-learn's classifier of a name that params.yaml's baselines.names may have to unit-norm exemplars."""
    if name == "nearest-class-mean":
        return ClassMeans(atoms, labels)
    if name == "cosine-knn":
        return KNeighborsClassifier(min(neighbours, len(atoms)), metric="cosine", algorithm="brute").fit(atoms, labels)
    return _logistic(atoms, labels)


def _logistic(atoms: Rows, labels: Labels) -> Any:
    some = np.random.default_rng(0).permutation(len(atoms))[:MOST_TO_CHOOSE_BY]
    kept, held = train_test_split(some, test_size=0.1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 200 iterations are as far as accuracy goes
        trials = track(REGULARISATION, len(REGULARISATION), "choosing the regularisation")
        right = {c: _model(c).fit(atoms[kept], labels[kept]).score(atoms[held], labels[held]) for c in trials}
        return _model(max(right, key=lambda c: right[c])).fit(atoms, labels)


def _model(c: float) -> Any:
    return LogisticRegression(C=c, max_iter=200)


def _classified(model: Any, features: store.Store, n_classes: int, name: str) -> Iterator[Rows]:
    """Probabilities of the classes, block by block, (rows, n_classes)."""
    images = features.read("features")
    parts = list(store.blocks(len(images), IMAGES))
    for part in track(parts, len(parts), name):
        unit = images[part] / np.maximum(np.linalg.norm(images[part], axis=1, keepdims=True), 1e-12)
        scores = np.zeros((len(unit), n_classes), np.float32)
        scores[:, model.classes_] = model.predict_proba(unit)
        yield scores
