"""Inner products whose bits do not depend on where a row stands, or on what stands beside it.

Linear algebra of others sums the last rows of a matrix in another order than those before. These sums are always the
same: so an image's result never depends on its batch, and a dictionary that grew is the one that is made at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca import block
from dseld_cli.lca.atoms import ALIGNED
from dseld_cli.lca.compiled import compiled

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

PANEL = 96
"""Rows of the right side that stay in the processor's cache."""


@compiled
def four_by_three(
    left: Float32, rows: Int64, p: int, right: Float32, columns: Int64, q: int, found: Float32
) -> None:  # fmt: skip
    """Write found[p : p + 4, q : q + 3], inner products of the rows of left (., N) and right (., N) that are named."""
    zero = np.float32(0)
    a, b, c, d = left[rows[p]], left[rows[p + 1]], left[rows[p + 2]], left[rows[p + 3]]
    x, y, z = right[columns[q]], right[columns[q + 1]], right[columns[q + 2]]
    ax = ay = az = bx = by = bz = cx = cy = cz = dx = dy = dz = zero
    for i in range(left.shape[1]):
        ax, ay, az = ax + a[i] * x[i], ay + a[i] * y[i], az + a[i] * z[i]
        bx, by, bz = bx + b[i] * x[i], by + b[i] * y[i], bz + b[i] * z[i]
        cx, cy, cz = cx + c[i] * x[i], cy + c[i] * y[i], cz + c[i] * z[i]
        dx, dy, dz = dx + d[i] * x[i], dy + d[i] * y[i], dz + d[i] * z[i]
    found[p, q], found[p, q + 1], found[p, q + 2] = ax, ay, az
    found[p + 1, q], found[p + 1, q + 1], found[p + 1, q + 2] = bx, by, bz
    found[p + 2, q], found[p + 2, q + 1], found[p + 2, q + 2] = cx, cy, cz
    found[p + 3, q], found[p + 3, q + 1], found[p + 3, q + 2] = dx, dy, dz


@compiled
def six_by_four(
    left: Float32, rows: Int64, p: int, right: Float32, columns: Int64, q: int, found: Float32
) -> None:  # fmt: skip
    """Write found[p : p + 6, q : q + 4], with the registers that AVX-512 has."""
    a, b, m, n = left.ctypes.data, right.ctypes.data, left.strides[0], right.strides[0]
    whole = left.shape[1] // block.FLOAT_LANES
    if whole:
        block.block_of_float32(
            a + rows[p] * m, a + rows[p + 1] * m, a + rows[p + 2] * m, a + rows[p + 3] * m, a + rows[p + 4] * m,
            a + rows[p + 5] * m, b + columns[q] * n, b + columns[q + 1] * n, b + columns[q + 2] * n,
            b + columns[q + 3] * n, whole, found.ctypes.data + p * found.strides[0] + q * found.itemsize,
            found.strides[0],
        )  # fmt: skip
    else:
        found[p : p + 6, q : q + 4] = 0
    for i in range(whole * block.FLOAT_LANES, left.shape[1]):
        for r in range(6):
            for c in range(4):
                found[p + r, q + c] += left[rows[p + r], i] * right[columns[q + c], i]


ROWS, COLUMNS, products_of_few = (6, 4, six_by_four) if block.compiled_for("avx512f") else (4, 3, four_by_three)
"""Rows are taken so many at a time, which is what the processor's registers hold."""


@compiled
def inner_products(left: Float32, right: Float32, found: Float32) -> None:
    """Write left right^T, (m, n), of left (m, N) and right (n, N); m and n are multiples of ALIGNED."""
    rows, columns = np.arange(len(left)), np.arange(len(right))
    for panel in range(0, len(right), PANEL):
        for p in range(0, len(left), ROWS):
            for q in range(panel, min(panel + PANEL, len(right)), COLUMNS):
                products_of_few(left, rows, p, right, columns, q, found)


def filled_up(rows: Float32) -> Float32:
    """Rows (m, N) with rows of zeros behind them up to a multiple of ALIGNED."""
    return np.concatenate([rows, np.zeros((-len(rows) % ALIGNED, rows.shape[1]), np.float32)])
