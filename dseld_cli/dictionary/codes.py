"""Codes over a dictionary, read back from their store."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dseld_cli import store
from dseld_cli.lca.codes import SparseCodes


def read_codes(stored: store.Codes, images: slice | None = None) -> SparseCodes:
    """Read the codes of all images of a store, or of consecutive ones.

    Raises:
        UserError: if they are damaged, or no codes over the atoms that they name.

    """
    bounds = stored.read("indptr")
    start, stop, _ = (images or slice(None)).indices(len(bounds) - 1)
    values = slice(int(bounds[start]), int(bounds[stop]))
    return SparseCodes(
        bounds[start : stop + 1] - bounds[start],
        stored.rows("indices", values),
        stored.rows("values", values),
        stored.rows("firing", slice(start, stop)),
    )


def batches(indptr: NDArray[np.int64], most: int, images: int = store.spec.ROWS) -> Iterator[slice]:
    """Consecutive images, at most so many, whose codes have at most `most` values together, or that are alone."""
    start = 0
    while start < len(indptr) - 1:
        end = int(np.searchsorted(indptr, indptr[start] + most, side="right")) - 1
        end = min(max(start + 1, end), start + images)
        yield slice(start, end)
        start = end
