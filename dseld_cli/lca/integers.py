"""Products of rows rounded to 16-bit integers times a scale per row: sums of integers, which round nothing themselves.

Processors multiply up to twice as many of them at a time as of float32. By Cauchy and Schwarz no sum of products of two
rows, or of a part of them, is beyond the product of their norms. So rows of norms below 2^15.5 never leave 32 bits.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca import block
from dseld_cli.lca.compiled import compiled

Float32 = NDArray[np.float32]
Int16 = NDArray[np.int16]

LEFT, RIGHT, FEATURES = block.INTEGER_ROWS, block.COLUMNS, 2 * block.LANES
"""Rows of either side, and features, of which there are multiples."""

PANEL = 96
"""Rows of the left side that stay in the processor's cache."""


@compiled
def scale_of(row: Float32) -> float:
    """Scale at which a row's integers have the norm that is allowed, however they are rounded, and are below 2^15."""
    square, peak = 0.0, np.float32(0)
    for i in range(len(row)):
        square += np.float64(row[i]) * row[i]
        peak = max(peak, abs(row[i]))
    of_norm = 1.0001 * math.sqrt(square) / (46340.0 - 0.5 * math.sqrt(len(row)))
    return np.float64(np.maximum(np.maximum(of_norm, peak / 32766.0), 1e-30))


@compiled
def power_of_two(scale: float) -> float:
    """Smallest power of two that is at least as large."""
    return np.float64(2.0 ** np.ceil(np.log2(scale)))


@compiled
def round_references(references: Float32) -> None:
    """Round references (r, N) in place to what is multiplied, so that this is exact.

    A scale of theirs is a power of two, and twice what it has to be: that of the rounded ones divides it.
    """
    for j in range(len(references)):
        row = references[j]
        scale = np.float32(2.0 * power_of_two(scale_of(row)))
        for i in range(len(row)):
            row[i] = np.rint(row[i] / scale) * scale


@compiled
def measure(rows: Float32, exact: bool, scales: Float32, inverses: Float32) -> tuple[float, float]:
    """Write scales of rows (m, N), and their inverses: powers of two where the rows are to be taken as they are.

    Returns the largest norm of a row, and its largest distance from itself rounded; NaN if one is.
    """
    norm = lost = 0.0
    for m in range(len(rows)):
        row = rows[m]
        scale = scale_of(row)
        scales[m] = power_of_two(scale) if exact else scale
        inverses[m] = 1.0 / scales[m]
        square, error = 0.0, 0.0
        for i in range(len(row)):
            rest = row[i] - np.float64(np.rint(row[i] * inverses[m])) * scales[m]
            square += np.float64(row[i]) * row[i]
            error += rest * rest
        norm = square if square > norm or square != square else norm
        lost = error if error > lost or error != error else lost
    return math.sqrt(norm), math.sqrt(lost)


@compiled
def round_into(rows: Float32, inverses: Float32, integers: Int16) -> None:
    """Write rows (m, N) in units of their scales; behind them, and behind their features, zeros."""
    for m in range(len(integers)):
        to = integers[m]
        to[rows.shape[1] if m < len(rows) else 0 :] = 0
        if m < len(rows):
            row, inverse = rows[m], inverses[m]
            for i in range(len(row)):
                to[i] = np.int32(np.rint(row[i] * inverse))


@compiled
def multiply(left: Int16, left_scales: Float32, right: Int16, right_scales: Float32, found: Float32) -> None:
    """Write the products (l, r) of left (l, N) and right (r, N) times their scales; multiples of LEFT, RIGHT rows."""
    m, n = left.strides[0], right.strides[0]
    for panel in range(0, len(left), PANEL):
        for q in range(0, len(right), RIGHT):
            for p in range(panel, min(panel + PANEL, len(left)), LEFT):
                block.block_of_integers(
                    left.ctypes.data + p * m, m, right.ctypes.data + q * n, n, left.shape[1] // FEATURES,
                    left_scales.ctypes.data + 4 * p, right_scales.ctypes.data + 4 * q,
                    found.ctypes.data + p * found.strides[0] + 4 * q, found.strides[0],
                )  # fmt: skip
