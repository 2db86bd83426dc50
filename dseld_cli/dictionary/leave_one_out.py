"""Codes of training images to train a decoder on: an image's own atom, and exact copies of it, cannot fire.

A training image that is an atom would be explained by itself alone, the answer included, which no test image ever is.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dseld_cli.dictionary.checks import normalize
from dseld_cli.errors import UserError
from dseld_cli.store import Store

Int64 = NDArray[np.int64]


def own_atoms(features: Store, dictionary: Store) -> list[Int64]:
    """Atoms that are each image itself or an exact copy of it, (n) arrays: same source, or equal once unit-norm."""
    by_key: dict[object, list[int]] = defaultdict(list)
    for part, block in dictionary.stream("atoms"):
        for atom, key in enumerate(_keys(block), part.start):
            by_key[key].append(atom)
    for atom, source in enumerate(dictionary.read("source")):
        by_key[str(source)].append(atom)
    found = []
    source = features.read("source")
    for part, block in features.stream("features"):
        some = np.asarray(block.any(axis=1))  # an all-zero image cannot be an atom
        keys = iter(_keys(normalize(block[some], source[part][some])))
        for name, there in zip(source[part], some, strict=True):
            twins = by_key.get(str(name), []) + (by_key.get(next(keys), []) if there else [])
            found.append(np.unique(np.array(twins, np.int64)))
    return found


def _keys(rows: NDArray[np.float32]) -> list[bytes]:
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]


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
