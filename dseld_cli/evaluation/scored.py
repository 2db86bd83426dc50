"""Scores of images that come block by block, to a store: never are all of them in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


def keep_scores(
    path: Path, info: store.Info, shape: tuple[int, int], blocks: Iterable[Float32], named: Callable[[Float32], Int64]
) -> Int64:
    """Commit scores (n, C) that come as blocks (B, C), and the class that each names its images by; returns those (n,).

    Raises:
        UserError: if something that is no store of this kind is at the path, or another process writes it.

    """
    with store.Draft(path, info, {"scores": store.Spec.rows("float32", *shape)}) as draft:
        rows, labels, at = store.Rows(draft, "scores"), np.empty(shape[0], np.int64), 0
        for scores in blocks:
            labels[at : at + len(scores)] = named(scores)
            rows.add(scores[max(0, rows.came - at) :])  # of a killed run, some are there
            at += len(scores)
        rows.end()
        draft.put("labels", labels)
        draft.commit()
    return labels
