"""Knots of a path, and the few directions near which all of them lie: small compiled linear algebra of one image."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca.compiled import compiled

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

UNIT = 2.0**-24
"""Unit roundoff of float32."""

PART = 256
"""Features of all knots that are worked on at a time."""


@compiled
def gamma(n: int) -> float:
    """Relative rounding error of a sum of n products in float32, in any order; 1 if n is too large to say anything."""
    share = n * UNIT
    return share / (1 - share) if share < 0.5 else 1.0


@compiled
def knot_vectors(
    image: Float32, rows: Float32, places: Int64, means: Float64, leak: Float64, knots: Float32
) -> None:  # fmt: skip
    """Write knots V = c S - A Phi (C, N) in float32, of image (N,), atoms rows[places] (f, N), A (C, f), c (C,).

    A part of all knots at a time, which stays in the first cache, four atoms at a time.
    """
    f, n = len(places), len(image)
    full, pairs = f // 4 * 4, len(leak) // 2 * 2
    for start in range(0, n, PART):
        here = slice(start, min(start + PART, n))
        for c in range(len(leak)):
            knot, share = knots[c, here], np.float32(leak[c])
            for i in range(len(knot)):
                knot[i] = share * image[start + i]
        for m in range(0, full, 4):
            p, q, r, s = (
                rows[places[m], here],
                rows[places[m + 1], here],
                rows[places[m + 2], here],
                rows[places[m + 3], here],
            )
            for c in range(0, pairs, 2):
                knot, next_ = knots[c, here], knots[c + 1, here]
                x, y, z, t = four(means, c, m)
                x2, y2, z2, t2 = four(means, c + 1, m)
                for i in range(len(knot)):
                    knot[i] -= x * p[i] + y * q[i] + z * r[i] + t * s[i]
                    next_[i] -= x2 * p[i] + y2 * q[i] + z2 * r[i] + t2 * s[i]
            for c in range(pairs, len(leak)):
                knot = knots[c, here]
                x, y, z, t = four(means, c, m)
                for i in range(len(knot)):
                    knot[i] -= x * p[i] + y * q[i] + z * r[i] + t * s[i]
        for m in range(full, f):
            p = rows[places[m], here]
            for c in range(len(leak)):
                knot, x = knots[c, here], np.float32(means[c, m])
                for i in range(len(knot)):
                    knot[i] -= x * p[i]


@compiled
def four(means: Float64, c: int, m: int) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Means of four atoms at a knot, from the m-th on."""
    return (
        np.float32(means[c, m]),
        np.float32(means[c, m + 1]),
        np.float32(means[c, m + 2]),
        np.float32(means[c, m + 3]),
    )


@compiled
def knot_rounding(norm_s: float, means: Float64, leak: Float64, norm: float) -> Float64:
    """Distance kappa (C,): how far a knot in float32 may be from the true one."""
    worst = gamma(means.shape[1] + 4)
    size = np.empty(len(leak))
    for c in range(len(leak)):
        size[c] = leak[c] * norm_s
        for m in range(means.shape[1]):
            size[c] += norm * abs(means[c, m])
        size[c] *= worst
    return size


@compiled
def dot64(x: Float32, y: Float32) -> float:
    """Inner product in float64."""
    total = 0.0
    for i in range(len(x)):
        total += np.float64(x[i]) * y[i]
    return total


@compiled
def principal_directions(products: Float64, tolerance: float, most: int) -> Float64:
    """Fewest directions, as mixtures of knots (r, C), that leave no more than `tolerance` of any knot.

    `products` (C, C) are the knots' inner products. Power iteration, one direction after another; any directions would
    do for the proof, these leave little.
    """
    n = len(products)
    mixtures, coordinates = np.zeros((most, n)), np.zeros((most, n))
    left, x = np.empty(n), np.empty(n)
    for c in range(n):
        left[c] = products[c, c]
    count = 0
    while count < most:
        worst = 0
        for c in range(n):
            worst = c if not left[c] <= left[worst] else worst
        if count and not math.sqrt(max(left[worst], 0.0)) > tolerance:
            break
        for c in range(n):
            x[c] = 1.0 if c == worst else 0.0
        for _ in range(12):
            y = times(products, x)
            for j in range(count):  # what is left of the operator when the directions found are taken out
                take_out(y, coordinates[j], inner(coordinates[j], x))
            size = math.sqrt(inner(y, y))
            if not size > 1e-200:
                break
            for c in range(n):
                x[c] = y[c] / size
        for j in range(count):
            take_out(x, mixtures[j], inner(coordinates[j], x))
        image = times(products, x)
        norm = inner(x, image)
        if not norm > 1e-12 * products[n - 1, n - 1]:
            break
        for c in range(n):
            mixtures[count, c], coordinates[count, c] = x[c] / math.sqrt(norm), image[c] / math.sqrt(norm)
            left[c] -= coordinates[count, c] ** 2
        count += 1
    return mixtures[:count]


@compiled
def inner(x: Float64, y: Float64) -> float:
    """Inner product of two vectors (n,)."""
    total = 0.0
    for i in range(len(x)):
        total += x[i] * y[i]
    return total


@compiled
def take_out(x: Float64, direction: Float64, share: float) -> None:
    """Subtract so much of a direction (n,) from x (n,)."""
    for i in range(len(x)):
        x[i] -= share * direction[i]


@compiled
def times(matrix: Float64, x: Float64) -> Float64:
    """Product of a matrix (n, n) with a vector (n,)."""
    y = np.zeros(len(x))
    for i in range(len(x)):
        for j in range(len(x)):
            y[i] += matrix[i, j] * x[j]
    return y


@compiled
def fit(knots: Float32, references: Float32, weights: Float32) -> Float64:
    """Write the weights (C, r) with which references (r, N) come nearest to knots (C, N); norms of the references (r,).

    Gaussian elimination on the normal equations: the references are all but orthonormal. A weight that is a little off
    costs a little tightness, and nothing else.
    """
    r = len(references)
    normal = np.empty((r, r))
    for i in range(r):
        for j in range(r):
            normal[i, j] = dot64(references[i], references[j])
    sizes = np.empty(r)
    for j in range(r):
        sizes[j] = math.sqrt(normal[j, j])
    right = np.empty(r)
    for c in range(len(knots)):
        left = normal.copy()
        for j in range(r):
            right[j] = dot64(knots[c], references[j])
        for j in range(r):
            pivot = left[j, j]
            for i in range(j + 1, r):
                factor = left[i, j] / pivot if pivot > 1e-12 else 0.0
                for k in range(j, r):
                    left[i, k] -= factor * left[j, k]
                right[i] -= factor * right[j]
        for j in range(r - 1, -1, -1):
            for k in range(j + 1, r):
                right[j] -= left[j, k] * weights[c, k]
            weights[c, j] = right[j] / left[j, j] if left[j, j] > 1e-12 else 0.0
    return sizes


@compiled
def round_to_bfloat16(values: Float32) -> None:
    """Round finite numbers (r, N) to the nearest bfloat16, in place: the upper half of their bits."""
    bits = values.view(np.uint32)
    for j in range(bits.shape[0]):
        for i in range(bits.shape[1]):
            b = np.int64(bits[j, i])
            bits[j, i] = np.uint32((b + 0x7FFF + ((b >> 16) & 1)) & 0xFFFF0000)  # to nearest, ties to even
