"""Products of rows rounded to bfloat16, by the instructions that some processors have for them (AVX512-BF16).

They multiply twice as much at a time as those of float32, and sum in float32. torch has them, too, but takes seconds to
load, and returns sums in bfloat16.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca import block
from dseld_cli.lca.compiled import compiled
from dseld_cli.lca.knots import round_to_bfloat16

Float32 = NDArray[np.float32]
UInt16 = NDArray[np.uint16]

LEFT, RIGHT = block.ROWS, block.COLUMNS
"""Rows of which a side has a multiple."""

FEATURES = 32
"""Features that one instruction takes."""

PANEL = 96
"""Rows of the left side that stay in the processor's cache."""


def rounded(rows: Float32, multiple: int) -> UInt16:
    """Bits of rows (m, N) in bfloat16, with zeros up to a multiple of so many rows, and of FEATURES."""
    m, n = rows.shape
    bits = np.empty((m + -m % multiple, n + -n % FEATURES), np.uint16)
    round_into(rows, bits)
    return bits


@compiled
def round_into(rows: Float32, bits: UInt16) -> None:
    """Round rows (m, N) to the nearest bfloat16, ties to even: the upper half of their bits."""
    whole = rows.view(np.uint32)
    for m in range(len(bits)):
        to = bits[m]
        to[rows.shape[1] if m < len(rows) else 0 :] = 0
        if m < len(rows):
            x = whole[m]
            for i in range(len(x)):
                to[i] = (x[i] + 0x7FFF + ((x[i] >> 16) & 1)) >> 16


@compiled
def largest(rows: Float32) -> tuple[float, float]:
    """Largest norm of rows (m, N), and largest distance of one from itself rounded, in float32; NaN if one is."""
    norm = lost = np.float32(0)
    rest = np.empty_like(rows[:1])
    for m in range(len(rows)):
        rest[0] = rows[m]
        round_to_bfloat16(rest)
        square = error = np.float32(0)
        for i in range(rows.shape[1]):
            square += rows[m, i] * rows[m, i]
            error += (rows[m, i] - rest[0, i]) * (rows[m, i] - rest[0, i])
        norm = square if square > norm or square != square else norm
        lost = error if error > lost or error != error else lost
    return math.sqrt(norm), math.sqrt(lost)


@compiled
def multiply(left: UInt16, right: UInt16, found: Float32) -> None:
    """Write found = left right^T (l, r); left (l, N) and right (r, N), multiples of LEFT and RIGHT."""
    m, n = left.strides[0], right.strides[0]
    for panel in range(0, len(left), PANEL):
        for q in range(0, len(right), RIGHT):
            y = right.ctypes.data + q * n
            for p in range(panel, min(panel + PANEL, len(left)), LEFT):
                x, to = left.ctypes.data + p * m, found.ctypes.data + p * found.strides[0] + q * found.itemsize
                block.block_of_bfloat16(
                    x, x + m, x + 2 * m, x + 3 * m, x + 4 * m, x + 5 * m, y, y + n, y + 2 * n, y + 3 * n,
                    left.shape[1] // FEATURES, to, found.strides[0],
                )  # fmt: skip
