"""Products of matrices on all cores, the same to the last bit however many those are.

Linear algebra sums otherwise where it has more than one thread. So a product is cut into parts of a fixed size, each of
which one core computes.
"""

from __future__ import annotations

from itertools import product as pairs
from typing import Any

import numpy as np

from dseld_cli.runtime.engine import on_all_cores, threads_per_operation

PART = 512
"""Rows and columns of a part: less, and the libraries spend their time on arranging its factors."""

SMALL = 2**22
"""Multiplications up to which a thread costs more than it saves."""


def product(left: Any, right: Any) -> Any:
    """Multiply left (r, n) with right (n, m): (r, m). Of torch's arrays, on a GPU, that GPU makes one product."""
    if not isinstance(left, np.ndarray):
        return left @ right
    (r, n), m = left.shape, right.shape[1]
    if r * n * m <= SMALL:
        with threads_per_operation(1):
            return left @ right
    found = np.empty((r, m), np.result_type(left, right))
    rows, columns = ([slice(start, start + PART) for start in range(0, size, PART)] for size in (r, m))
    on_all_cores(lambda part: np.matmul(left[part[0]], right[:, part[1]], out=found[part]), list(pairs(rows, columns)))
    return found
