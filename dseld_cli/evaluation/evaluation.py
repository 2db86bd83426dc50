"""Everything that is known about the coded images of a split: predictions against true classes, brought together.

There is one list of classes, the dictionary's: the base's classes in their order, then those that additions brought, in
order of appearance. Labels of any other store are matched by the names of the classes, never by their numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.dictionary.checks import normalize, relabel
from dseld_cli.dictionary.duplicates import keys_in, keys_of
from dseld_cli.dictionary.manifest import Layout
from dseld_cli.dictionary.transform import Seen
from dseld_cli.errors import OutOfDate, StoreMissing, UserError
from dseld_cli.evaluation import metrics
from dseld_cli.evaluation.metrics import Confusion, Tally
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.engine import in_order, workers
from dseld_cli.runtime.progress import Track, quiet
from dseld_cli.runtime.text import counted
from dseld_cli.store import project as paths

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

BYTES_PER_IMAGE = 300
"""Row, class, names, and the key by which it is looked for among the exemplars."""
BYTES_PER_PREDICTION = 64
"""Class, highest score, and a pair of classes of its own in the confusion."""


@dataclass(frozen=True)
class Predictions:
    """What a decoder or a baseline says of the n coded images; of their scores, no more than some blocks are in memory.

    Attributes:
        labels: (n,).
        highest: score of that class, (n,).
        tally: of labels and scores against true classes.

    """

    labels: Int64
    highest: Float32
    tally: Tally


@dataclass(frozen=True)
class Firing:
    """Share of the neurons firing, averaged over images.

    Attributes:
        curve: after each step, (K,).
        peak: after the step at which most of an image's fire.
        ever: at any step; None where codes do not say.

    """

    curve: NDArray[np.float64]
    peak: float
    ever: float | None

    @classmethod
    def of(cls, codes: store.Codes) -> Firing:
        """Average over the images of codes, block by block."""
        (n, steps), neurons = codes.shape("firing"), codes.info.atoms
        counts, peaks = np.zeros(steps, np.int64), 0
        for _, firing in codes.stream("firing"):
            counts += firing.sum(axis=0, dtype=np.int64)
            peaks += int(firing.max(axis=1).sum(dtype=np.int64))
        ever = float(codes.read("fired").mean()) / neurons if "fired" in codes.arrays else None
        return cls(counts / (n * neurons), peaks / (n * neurons), ever)

    def percent(self) -> dict[str, float]:
        """Average over images and steps, mean of images' peaks, and share that ever fires, in percent."""
        shares = {"average": float(self.curve.mean()), "peak": self.peak}
        shares |= {} if self.ever is None else {"ever": self.ever}
        return {name: round(100 * share, 4) for name, share in shares.items()}


@dataclass(frozen=True)
class Evaluation:
    """Everything that is known about the coded images of a split.

    Attributes:
        split: which one.
        features, dictionary, codes: the current stores.
        rows: (n,) which images of the split are coded.
        truth: (n,) true classes, -1 where the dictionary lacks it.
        predictions, baselines: by name.
        left_out: why a decoder or a baseline is not among them, by name.
        trained: which of the predictions are of decoders that were trained.

    """

    split: str
    features: store.Features
    dictionary: store.Dictionary
    codes: store.Codes
    rows: Int64
    truth: Int64
    predictions: Mapping[str, Predictions]
    baselines: Mapping[str, Predictions]
    left_out: Mapping[str, str]
    trained: tuple[str, ...] = ()

    @property
    def classes(self) -> list[str]:
        """Return the names of the classes."""
        return list(self.dictionary.info.classes)

    def summaries(self) -> dict[str, dict[str, float | int]]:
        """Return the main figures of each decoder."""
        return {name: found.tally.summary() for name, found in self.predictions.items()}

    def baseline_summaries(self) -> dict[str, dict[str, float | int]]:
        """Return the main figures of each baseline."""
        return {name: found.tally.summary() for name, found in self.baselines.items()}

    def per_class(self) -> dict[str, dict[str, float]]:
        """Return the accuracy of each decoder by class."""
        return {name: found.tally.per_class_accuracy(self.classes) for name, found in self.predictions.items()}

    def confusion(self) -> dict[str, Confusion]:
        """Return which classes each decoder takes for which."""
        n = len(self.classes)
        return {name: Confusion.of(found.labels, self.truth, n) for name, found in self.predictions.items()}

    @cached_property
    def firing(self) -> Firing:
        """Share of the neurons firing."""
        return Firing.of(self.codes)

    def source(self) -> store.Array:
        """Return where each coded image came from, (n,)."""
        return self.features.take("source", self.rows)

    def true_names(self) -> list[str]:
        """Return the class of each coded image by name, whether the dictionary has it or not."""
        names = self.features.info.classes
        return [names[label] for label in self.features.read("labels")[self.rows]]

    def setting(self) -> dict[str, Any]:
        """Sizes and parameters that the figures hold for."""
        return {
            "split": self.split,
            "images": len(self.truth),
            "exemplars": int(np.count_nonzero(~Layout.of(self.dictionary).tombstones)),
            "features": self.dictionary.shape("atoms")[1],
            "classes": len(self.classes),
            **({"transform": self.dictionary.info.transform} if self.dictionary.info.transform else {}),
            **self.codes.info.dynamics,
        }

    def in_dictionary(self, track: Track = quiet) -> int:
        """Count the coded images that are atoms, or equal to one: their class is looked up, not recognised."""
        seen = Seen.by(self.dictionary, self.features)
        parts = store.blocks(len(self.rows))
        images = keys_of(_unit(seen.take(self.rows[part])) for part in parts)
        atoms = keys_in(self.dictionary, "atoms", track, "looking for images among the exemplars")
        return int(np.isin(images, atoms).sum())


def _unit(rows: Float32) -> Float32:
    """Scale rows to unit norm as a dictionary does; rows of zeros stay, and are no atom's."""
    some = rows.any(axis=1)
    return normalize(rows[some], np.arange(int(some.sum())))


def collect(
    split: str,
    decoders: Sequence[str],
    optional: Sequence[str] = (),
    baselines: Sequence[str] = (),
    memory: int = sys.maxsize,
    track: Track = quiet,
) -> Evaluation:
    """Bring together predictions, true classes and codes; what is `optional`, and baselines, only where they are.

    Raises:
        UserError: if predictions of `decoders` are missing or not of these codes, no image is of a class that the
            dictionary has, or `memory` does not hold some blocks of scores and what is known of every image.

    """
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    features = store.features_of(split)
    codes = store.codes_of(split)
    store.require_input(codes, "features", features)
    store.require_input(codes, "dictionary", dictionary)
    rows = codes.read("rows")
    there = [paths.predictions(name, split) for name in optional] + [paths.baseline(name, split) for name in baselines]
    wanted = len(decoders) + sum(map(store.present, there))
    what = f"{counted(wanted, 'prediction')} of {counted(len(rows), 'image')}, {len(codes.info.classes)} classes"
    arrays_within(memory, _needed(codes, wanted), what)
    names, classes = features.info.classes, dictionary.info.classes
    truth = relabel(features.read("labels"), names, classes)[rows]
    if not (truth >= 0).any():
        raise UserError(
            f"none of the {len(truth)} images of {features.path} is of a class that {paths.DICTIONARY} has: its "
            f"classes are {_few(classes)}, theirs {_few(names)}; classes go together by their names"
        )
    left_out: dict[str, str] = {}

    def of_decoder(name: str) -> Predictions:
        found = store.open_store(paths.predictions(name, split), store.PredictionsInfo)
        store.require_input(found, "codes", codes)
        return _read(found, np.arange(len(rows)), truth, f"reading {name}", track)

    def of_baseline(name: str) -> Predictions:
        found = store.open_store(paths.baseline(name, split), store.BaselineInfo)
        store.require_input(found, "dictionary", dictionary)
        store.require_input(found, "features", features)
        return _read(found, rows, truth, f"reading {name}", track)

    found = {name: of_decoder(name) for name in decoders}
    found |= dict(_if_there(optional, of_decoder, left_out))
    compared = dict(_if_there(baselines, of_baseline, left_out))
    trained = tuple(name for name in optional if name in found)
    return Evaluation(split, features, dictionary, codes, rows, truth, found, compared, left_out, trained)


def _read(
    predictions: store.Predictions | store.Store[store.BaselineInfo], rows: Int64, truth: Int64, what: str, track: Track
) -> Predictions:
    """Read predictions of images `rows` (n,) of a split, of true classes `truth`: their scores block by block."""
    labels, n_classes = predictions.read("labels")[rows], predictions.shape("scores")[1]
    highest, top5 = np.empty(len(rows), np.float32), np.empty(len(rows), np.bool_)
    parts = list(store.blocks(len(rows)))

    def look(part: slice) -> None:
        scores = predictions.take("scores", rows[part])
        highest[part], top5[part] = scores.max(axis=1), metrics.among_highest(scores, truth[part], 5)

    for _ in track(in_order(look, parts), len(parts), what):
        pass
    return Predictions(labels, highest, Tally.of(labels, truth, n_classes, top5, highest))


def _needed(codes: store.Codes, predictions: int) -> int:
    """Bytes of what is known of every image, and of blocks of scores."""
    n, classes = codes.shape("rows")[0], len(codes.info.classes)
    rows = min(n, (workers() + 2) * store.spec.ROWS)
    blocks = rows * (12 * classes + 4 * codes.shape("firing")[1])
    return n * (BYTES_PER_IMAGE + BYTES_PER_PREDICTION * predictions) + blocks


def _few(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _if_there(
    names: Iterable[str], read: Callable[[str], Predictions], left_out: dict[str, str]
) -> Iterable[tuple[str, Predictions]]:
    for name in names:
        try:
            yield name, read(name)
        except (StoreMissing, OutOfDate) as error:
            left_out[name] = str(error)
