"""Rows that are equal to the last bit: one hash of a row, the same in every process, for whoever looks for copies."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.runtime.engine import in_order
from dseld_cli.runtime.progress import Track, quiet

Int64 = NDArray[np.int64]
Keys = NDArray[np.uint64]

CACHED_WORDS = 2**16
"""Words that are hashed at once: with their 64-bit copies they stay in a core's cache."""


def keys(rows: NDArray[np.float32]) -> Keys:
    """64 bits for each row (m, N) of float32, (m,): of equal rows the same; two others agree once in 2^64 pairs.

    Two multilinear hashes of 32 bits side by side, each (sum_j w_j x_j mod 2^64) div 2^32 over a row's 32-bit words x,
    with fixed random weights w (Lemire and Kaser, "Strongly universal string hashing is fast", 2014).
    """
    words = np.ascontiguousarray(rows, np.float32).view(np.uint32)
    weights, step = _weights(words.shape[1]), max(1, CACHED_WORDS // max(1, words.shape[1]))
    found = np.empty((len(words), 2), np.uint64)
    for start in range(0, len(words), step):
        np.matmul(words[start : start + step].astype(np.uint64), weights, out=found[start : start + step])
    high, low = found.T
    half = np.uint64(32)
    return (high >> half << half) | (low >> half)


@lru_cache(maxsize=4)
def _weights(n: int) -> Keys:
    """Weights (n, 2); raw output of the bit generator, which NumPy never changes."""
    return np.random.PCG64(0).random_raw(2 * n).reshape(2, n).T.copy()


def keys_of(blocks: Iterable[NDArray[np.float32]]) -> Keys:
    """Keys of all rows of consecutive blocks."""
    return np.concatenate([np.empty(0, np.uint64), *map(keys, blocks)])


def keys_in(stored: store.Features | store.Dictionary, name: str, track: Track = quiet, what: str = "") -> Keys:
    """Keys of all rows of an array of a store, (n,), blocks of it on all cores.

    Raises:
        StoreDamaged: if a block is not what was committed.

    """
    parts = list(store.blocks(stored.shape(name)[0], stored.chunks(name)[0]))
    return np.concatenate(
        [np.empty(0, np.uint64), *track(in_order(lambda part: keys(stored.rows(name, part)), parts), len(parts), what)]
    )


def first_equal(found: Keys) -> Int64:
    """First row with the same key, of each of n rows, (n,): its own place, if no earlier row equals it."""
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64, copy=False)


def distinct(found: Keys) -> Int64:
    """Rows in order, but for those that equal an earlier one."""
    return np.flatnonzero(first_equal(found) == np.arange(len(found)))


def equal_to(found: Keys, among: Keys) -> list[Int64]:
    """All rows of `among` (m,) that equal each of n rows `found`, in order: n arrays."""
    order = np.argsort(among, kind="stable")
    lower, upper = (np.searchsorted(among[order], found, side) for side in ("left", "right"))
    return [order[start:stop] for start, stop in zip(lower, upper, strict=True)]
