"""Seeded draws of labelled rows: for validation, for a limit, for a dictionary. Arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dseld_cli.errors import UserError


def held_out(labels: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Which of n images, (n,), a seeded draw sets apart for validation: `share` of each class, but never all of it."""
    rank, count = _ranks(labels, seed)
    return rank < np.minimum(np.round(share * count), count - 1)


def limited(labels: NDArray[np.int64], per_class: int, seed: int) -> NDArray[np.bool_]:
    """Which of n images, (n,), a seeded draw of at most so many of each class keeps."""
    rank, _ = _ranks(labels, seed)
    return rank < per_class


def drawn(n_images: int, wanted: int | str, seed: int) -> NDArray[np.int64]:
    """Rows of images, in order: all, or a seeded draw of so many.

    Raises:
        UserError: if there are not so many.

    """
    if wanted == "all":
        return np.arange(n_images)
    if int(wanted) > n_images:
        raise UserError(f"{wanted} images asked for, but the split has {n_images} to code")
    return np.sort(np.random.default_rng(seed).permutation(n_images)[: int(wanted)])


def _ranks(labels: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Place of each image in a shuffle of its class, (n,), and the size of that class, (n,)."""
    order = np.random.default_rng(seed).permutation(len(labels))
    return places(labels[order])[np.argsort(order)], np.bincount(labels)[labels]


def places(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many earlier rows have the same label, (n,)."""
    by_label = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    found = np.empty(len(labels), np.int64)
    found[by_label] = np.arange(len(labels)) - starts
    return found


def shuffled(n: int, seed: int) -> NDArray[np.int64]:
    """Order of n rows, (n,): any prefix is itself a random draw."""
    return np.random.default_rng(seed).permutation(n)


def balanced(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Shuffled order of n rows, (n,), that goes round the classes: any prefix is as balanced as their sizes allow.

    Every round takes one more of each class that has any left, in an order of its own.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    return order[np.lexsort((rng.random(len(labels)), places(labels[order])))]
