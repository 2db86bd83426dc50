"""Codes of training images to train a decoder on: an image's own atom, and exact copies of it, cannot fire.

A training image that is an atom would be explained by itself alone, the answer included, which no test image ever is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.dictionary.checks import normalize
from dseld_cli.dictionary.duplicates import equal_to, keys, keys_in
from dseld_cli.dictionary.manifest import Composition, Segment, parts_of
from dseld_cli.dictionary.transform import of
from dseld_cli.errors import UserError
from dseld_cli.images.sampling import drawn
from dseld_cli.store import Array, Dictionary, Features

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class TrainingImages:
    """Images that a decoder may learn from, as one list of n: those of a split, then those of each addition.

    Attributes:
        segments: the split, named "", and the additions.
        classes: class names of the dictionary.

    """

    segments: Sequence[Segment]
    classes: Sequence[str]

    @classmethod
    def of(cls, features: Features, composition: Composition) -> TrainingImages:
        """Those of a split, and of the additions of a dictionary."""
        base, *added = composition.segments
        return cls([Segment("", features, base.transform, base.relabels), *added], composition.classes)

    def __len__(self) -> int:
        return sum(map(len, self.segments))

    @cached_property
    def source(self) -> Array:
        """Where each image came from, (n,), as the dictionary's `source` names it."""
        return np.concatenate([segment.source for segment in self.segments])

    @cached_property
    def labels(self) -> Int64:
        """Class of each image, (n,), as an index into `classes`."""
        return np.concatenate([segment.labels(self.classes) for segment in self.segments])

    def features(self, rows: Int64) -> NDArray[np.float32]:
        """Features of any images as the dictionary sees them, (len(rows), N)."""
        found = np.empty((len(rows), self.segments[0].origin.shape("features")[1]), np.float32)
        for segment, here, its in parts_of(self.segments, rows):
            found[here] = segment.features(its)
        return found


def own_atoms(features: Features, dictionary: Dictionary) -> list[Int64]:
    """Atoms that are each image of a split itself or an exact copy of it, see `own_atoms_of`."""
    images = TrainingImages([Segment("", features, of(dictionary))], dictionary.info.classes)
    return own_atoms_of(images, dictionary)


def own_atoms_of(images: TrainingImages, dictionary: Dictionary) -> list[Int64]:
    """Atoms that are each image itself or an exact copy of it, (n) arrays: same source, or equal once unit-norm."""
    parts = store.blocks(len(images))
    rows = (np.arange(part.start, part.stop) for part in parts)
    found = np.concatenate([_unit_keys(images.features(some), images.source[some]) for some in rows])
    copies = equal_to(found, keys_in(dictionary, "atoms"))
    by_name: dict[str, list[int]] = defaultdict(list)
    for atom, name in enumerate(dictionary.read("source")):
        by_name[str(name)].append(atom)
    same = (np.array(by_name.get(str(name), ()), np.int64) for name in images.source)
    zeros = found == 0  # neither an image nor a tombstone of zeros is a copy of the other
    return [mine if zero else np.union1d(mine, some) for mine, some, zero in zip(same, copies, zeros, strict=True)]


def _unit_keys(block: NDArray[np.float32], source: Array) -> NDArray[np.uint64]:
    """Keys of images as atoms; 0 for all zeros, which cannot be an atom."""
    some, unit = block.any(axis=1), np.zeros_like(block)
    unit[some] = normalize(block[some], source[some])
    return keys(unit)


def candidates(own: Sequence[Int64], which: str) -> Int64:
    """Images to train on, by params.yaml's train_decoder.codes: all ("leave-one-out"), or "outside" the dictionary.

    Raises:
        UserError: if every training image is in the dictionary.

    """
    if which == "leave-one-out":
        return np.arange(len(own))
    outside = np.flatnonzero([len(atoms) == 0 for atoms in own])
    if len(outside) == 0:
        raise UserError(
            "train_decoder.codes: every training image is in the dictionary, none is outside: use leave-one-out, or a "
            "smaller build_dict.size"
        )
    return outside


def training_images(
    features: Features, dictionary: Dictionary, which: str, wanted: int | str, seed: int, removals: Sequence[str]
) -> tuple[Int64, list[Int64]]:
    """Rows of training images to train a decoder on, and each one's own atoms: a draw of `candidates`, less removals.

    Raises:
        UserError: if there are not so many.

    """
    own = own_atoms(features, dictionary)
    among = candidates(own, which)
    among = among[~np.isin(features.read("source")[among], list(removals))]
    rows = among[drawn(len(among), wanted, seed)]
    return rows, [own[row] for row in rows]
