"""Codes of training images to train a decoder on: an image's own atom, and exact copies of it, cannot fire.

A training image that is an atom would be explained by itself alone, the answer included, which no test image ever is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dseld_cli.dictionary.checks import normalize
from dseld_cli.dictionary.duplicates import equal_to, keys, keys_of
from dseld_cli.errors import UserError
from dseld_cli.store import Array, Dictionary, Features

Int64 = NDArray[np.int64]


def own_atoms(features: Features, dictionary: Dictionary) -> list[Int64]:
    """Atoms that are each image itself or an exact copy of it, (n) arrays: same source, or equal once unit-norm."""
    source = features.read("source")
    images = np.concatenate([_unit_keys(block, source[part]) for part, block in features.stream("features")])
    copies = equal_to(images, keys_of(block for _, block in dictionary.stream("atoms")))
    by_name: dict[str, list[int]] = defaultdict(list)
    for atom, name in enumerate(dictionary.read("source")):
        by_name[str(name)].append(atom)
    same = (np.array(by_name.get(str(name), ()), np.int64) for name in source)
    zeros = images == 0  # neither an image nor a tombstone of zeros is a copy of the other
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
