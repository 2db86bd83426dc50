"""Everything that is known about the coded images of a split: predictions against true classes, brought together.

There is one list of classes, the dictionary's: the base's classes in their order, then those that additions brought, in
order of appearance. Labels of any other store are matched by the names of the classes, never by their numbers.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.dictionary.checks import normalize, relabel
from dseld_cli.dictionary.manifest import Layout
from dseld_cli.dictionary.transform import Seen
from dseld_cli.errors import OutOfDate, StoreMissing, UserError
from dseld_cli.evaluation import metrics
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.engine import in_order
from dseld_cli.runtime.progress import Track, quiet
from dseld_cli.store import project as paths

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
        return np.asarray(self.codes.read("firing") / self.codes.info.atoms, np.float64)

    def ever_firing(self) -> float | None:
        """Return the share of the neurons that fire at any step, averaged over images; None where codes do not say."""
        if "fired" not in self.codes.arrays:
            return None
        return float(self.codes.read("fired").mean()) / self.codes.info.atoms

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
        n_blocks = -(-self.dictionary.shape("atoms")[0] // self.dictionary.chunks("atoms")[0])
        blocks = in_order(lambda found: _keys(found[1]), self.dictionary.stream("atoms"))
        what = "looking for images among the exemplars"
        atoms = {key for keys in track(blocks, n_blocks, what) for key in keys}
        seen = Seen.by(self.dictionary, self.features)
        images = (seen.take(self.rows[part]) for part in store.blocks(len(self.rows)))
        return sum(key in atoms for block in images for key in _keys(_unit(block)))


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to unit norm as a dictionary does; rows of zeros stay, and are no atom's."""
    some = rows.any(axis=1)
    return normalize(rows[some], np.arange(int(some.sum())))


def _keys(rows: NDArray[np.float32]) -> list[bytes]:
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]


def firing_shares(firing: NDArray[np.float64], ever: float | None) -> dict[str, float]:
    """Share of neurons firing, in percent, from shares (n, K): average over images and steps; mean of images' peaks.

    With it the share that fires at any step, where that is known.
    """
    shares = {"average": float(firing.mean()), "peak": float(firing.max(axis=1).mean())}
    shares |= {} if ever is None else {"ever": ever}
    return {name: round(100 * share, 4) for name, share in shares.items()}


def collect(
    split: str,
    decoders: Sequence[str],
    optional: Sequence[str] = (),
    baselines: Sequence[str] = (),
    memory: int = sys.maxsize,
) -> Evaluation:
    """Bring together predictions, true classes and codes; what is `optional`, and baselines, only where they are.

    Raises:
        UserError: if predictions of `decoders` are missing or not of these codes, no image is of a class that the
            dictionary has, or `memory` does not hold them.

    """
    dictionary = store.open_store(paths.DICTIONARY, store.DictionaryInfo)
    features = store.features_of(split)
    codes = store.codes_of(split)
    store.require_input(codes, "features", features)
    store.require_input(codes, "dictionary", dictionary)
    rows = codes.read("rows")
    wanted = len(decoders) + len(optional) + len(baselines)
    arrays_within(memory, _needed(codes, wanted), f"{wanted} predictions of {len(rows)} images")
    names, classes = features.info.classes, dictionary.info.classes
    truth = relabel(features.read("labels"), names, classes)[rows]
    if not (truth >= 0).any():
        raise UserError(
            f"none of the {len(truth)} images of {features.path} is of a class that {paths.DICTIONARY} has: its "
            f"classes are {_few(classes)}, theirs {_few(names)}; classes go together by their names"
        )
    left_out: dict[str, str] = {}
    found = {name: of_decoder(name, codes, split) for name in decoders}
    found |= dict(_if_there(optional, lambda name: of_decoder(name, codes, split), left_out))
    compared = dict(_if_there(baselines, lambda name: of_baseline(name, dictionary, features, rows, split), left_out))
    trained = tuple(name for name in optional if name in found)
    return Evaluation(split, features, dictionary, codes, rows, truth, found, compared, left_out, trained)


def _needed(codes: store.Codes, predictions: int) -> int:
    """Bytes of predictions, their metrics, and the share of neurons firing at each step."""
    (n, steps), classes = codes.shape("firing"), len(codes.info.classes)
    return n * (predictions * (4 * classes + 8) + 2 * classes + 16 * steps)


def _few(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def of_decoder(name: str, codes: store.Codes, split: str) -> Predictions:
    """Read the predictions of a decoder for these codes.

    Raises:
        UserError: if there are none.

    """
    predictions = store.open_store(paths.predictions(name, split), store.PredictionsInfo)
    store.require_input(predictions, "codes", codes)
    return Predictions(predictions.read("labels"), predictions.read("scores"))


def of_baseline(
    name: str, dictionary: store.Dictionary, features: store.Features, rows: Int64, split: str
) -> Predictions:
    """Read the predictions of a baseline that learned from these exemplars, for the images that were coded.

    Raises:
        UserError: if there are none.

    """
    predictions = store.open_store(paths.baseline(name, split), store.BaselineInfo)
    store.require_input(predictions, "dictionary", dictionary)
    store.require_input(predictions, "features", features)
    return Predictions(predictions.read("labels")[rows], predictions.read("scores")[rows])


def _if_there(names: Iterable[str], read: Any, left_out: dict[str, str]) -> Iterable[tuple[str, Predictions]]:
    for name in names:
        try:
            yield name, read(name)
        except (StoreMissing, OutOfDate) as error:
            left_out[name] = str(error)
