"""Compiled search of a tile of atoms: the largest inner products, and the atoms that a certificate leaves unproved.

Each kernel takes the images `part` of a batch, so that several threads share the work.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca.certificate import KNOTS
from dseld_cli.lca.compiled import compiled

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


@compiled
def contains(sorted_ids: Int64, start: int, stop: int, wanted: int) -> bool:
    """Whether `wanted` is in the rising sorted_ids[start:stop]."""
    end = stop
    while start < stop:
        middle = (start + stop) // 2
        if sorted_ids[middle] < wanted:
            start = middle + 1
        else:
            stop = middle
    return start < end and sorted_ids[start] == wanted


@compiled
def kth_largest(scores: Float32, k: int) -> float:
    """Select the k-th largest of scores (n,), k from 1 to n: NumPy's partition compiles for five seconds."""
    rest = scores.copy()
    low, high, wanted = 0, len(rest) - 1, k - 1
    while low < high:
        pivot, i, j = rest[(low + high) // 2], low, high
        while i <= j:  # larger ones to the left
            while rest[i] > pivot:
                i += 1
            while rest[j] < pivot:
                j -= 1
            if i <= j:
                rest[i], rest[j] = rest[j], rest[i]
                i, j = i + 1, j - 1
        if wanted <= j:
            high = j
        elif wanted >= i:
            low = i
        else:
            break
    return np.float64(rest[wanted])


@compiled
def keep(
    ids: Int64, scores: Float32, known: Float32, count: int, floor: float, atom: int, score: float, products: Float32
) -> tuple[int, float]:  # fmt: skip
    """Add an atom to the strongest so far of one image, and drop the weaker half when there is no room left.

    Half the room is what is guaranteed to be kept; `floor` is the score up to which nothing is worth adding. Of its
    `products` (r,), as many are kept as `known` (room, .) has columns for.
    """
    ids[count], scores[count] = atom, score
    for j in range(min(len(products), known.shape[1])):
        known[count, j] = products[j]
    count += 1
    if count == len(ids):
        half = len(ids) // 2
        least = kth_largest(scores, half)
        equal = half - (scores > least).sum()
        count, floor = 0, max(floor, least)
        for e in range(len(ids)):
            if scores[e] > least or (scores[e] == least and equal > 0):
                equal -= scores[e] == least
                ids[count], scores[count] = ids[e], scores[e]
                for j in range(known.shape[1]):
                    known[count, j] = known[e, j]
                count += 1
    return count, floor


@compiled
def collect_strongest(
    start: int, stop: int, products: Float32, first: int, skip_indptr: Int64, skip: Int64, ids: Int64, scores: Float32,
    known: Float32, counts: Int64, floors: Float32,
) -> None:  # fmt: skip
    """Keep the atoms of largest |product| of images start to stop: products (B, rows) of atoms first, first + 1, ...

    `skip[skip_indptr[i]:skip_indptr[i + 1]]` are image i's excluded atoms, rising. `ids`, `scores` (B, room), `known`
    (B, room, .), `counts` and `floors` (B,) are the strongest so far.
    """
    for i in range(start, stop):
        count, floor = counts[i], floors[i]
        for row in range(products.shape[1]):
            score = abs(products[i, row])
            if score > floor and not contains(skip, skip_indptr[i], skip_indptr[i + 1], first + row):
                count, floor = keep(
                    ids[i], scores[i], known[i], count, floor, first + row, score, products[i : i + 1, row]
                )
        counts[i], floors[i] = count, floor


@compiled
def excess(products: Float32, weights: Float32, relative: Float32, room: Float32, over: Float32) -> None:
    """How far each atom's bound exceeds what is allowed, at its worst knot: over (rows,), negative when proved.

    products (r, rows) with the r references, weights (KNOTS, R), relative and room (KNOTS,): see
    `certificate.Certificates`. Not a number where anything is not finite, which proves nothing. Two references do for
    nearly all: then the knots are unrolled, and many atoms are looked at together, five times as fast.
    """
    r = len(products)
    if not are_finite(weights, relative, room):
        over[:] = np.nan
    elif r == 0:  # the path of an image that is nothing but zeros
        over[:] = -room.min()
    elif r <= 2:
        first, second = products[0], products[r - 1]
        with_second = np.float32(r - 1)
        for row in range(len(over)):
            x, y = first[row], second[row]
            largest, worst = max(abs(x), abs(y)), np.float32(-np.inf)
            y *= with_second
            for c in range(KNOTS):
                worst = max(worst, abs(weights[c, 0] * x + weights[c, 1] * y) + relative[c] * largest - room[c])
            over[row] = worst + 0 * x + 0 * y
    else:
        largest, estimate = np.zeros(len(over), np.float32), np.empty(len(over), np.float32)
        for j in range(r):
            for row in range(len(over)):
                largest[row] = max(largest[row], abs(products[j, row]))
        over[:] = -np.inf
        for c in range(KNOTS):
            estimate[:] = 0
            for j in range(r):
                for row in range(len(over)):
                    estimate[row] += weights[c, j] * products[j, row]
            for row in range(len(over)):
                over[row] = max(over[row], abs(estimate[row]) + relative[c] * largest[row] - room[c])
        for row in range(len(over)):
            over[row] += 0 * estimate[row]


@compiled
def are_finite(weights: Float32, relative: Float32, room: Float32) -> bool:
    """Whether all of a certificate's numbers are numbers, and finite."""
    total = np.float32(0)
    for c in range(len(room)):
        total += 0 * relative[c] + 0 * room[c]
        for j in range(weights.shape[1]):
            total += 0 * weights[c, j]
    return bool(total == 0)


@compiled
def dot(x: Float32, y: Float32) -> np.float32:
    """Inner product in float32, in any order."""
    total = np.float32(0)
    for i in range(len(x)):
        total += x[i] * y[i]
    return total


@compiled
def closer_excess(
    products: Float32, weights: Float32, relative: Float32, room: Float32, atom: Float32, knots: Float32,
    exact_room: Float32, open_from: float,
) -> float:  # fmt: skip
    """How far one atom (N,) exceeds what is allowed, at its worst knot; infinity for NaN.

    By its products (r,) with the references; at knots (C, N) where that is at least `open_from`, by those themselves.
    """
    largest = np.float32(0)
    for j in range(len(products)):
        largest = max(largest, abs(products[j]))
    worst = -math.inf
    for c in range(len(knots)):
        estimate = np.float32(0)
        for j in range(len(products)):
            estimate += weights[c, j] * products[j]
        over = abs(estimate) + relative[c] * largest - room[c]
        if not over < open_from:
            over = abs(dot(atom, knots[c])) - exact_room[c]
        if over != over:
            return math.inf
        worst = max(worst, over)
    return worst


@compiled
def collect_near(
    start: int, stop: int, asking: Int64, products: Float32, first: int, indptr: Int64, weights: Float32,
    relative: Float32, room: Float32, block: Float32, knots: Float32, exact_room: Float32, open_from: float,
    skip_indptr: Int64, skip: Int64, ids: Int64, scores: Float32, known: Float32, counts: Int64, floors: Float32,
) -> None:  # fmt: skip
    """Keep the atoms whose bound comes nearest to what is allowed, or exceeds it, by that difference.

    products (references, rows) of atoms first, first + 1, ...; those of the n-th image are indptr[n] to indptr[n + 1],
    and its certificate is of number asking[n]. Atoms whose excess by that is at least `open_from` are multiplied, as
    `block` (rows, N) has them, with the knots, unless it is empty.
    """
    over, near = np.empty(products.shape[1], np.float32), np.empty(products.shape[1] + 1, np.int64)
    for n in range(start, stop):
        i, count, floor = asking[n], counts[n], floors[n]
        mine = products[indptr[n] : indptr[n + 1]]
        excess(mine, weights[i], relative[i], room[i], over)
        left = 0
        for row in range(len(over)):
            near[left] = row
            left += not over[row] <= floor
        ours, left = near[:left], 0
        for e in range(len(ours)):
            near[left] = ours[e]
            left += not contains(skip, skip_indptr[n], skip_indptr[n + 1], first + ours[e])
        for e in range(left):
            row = near[e]
            if len(block) and not over[row] < open_from:
                over[row] = closer_excess(
                    mine[:, row], weights[i], relative[i], room[i], block[row], knots[i], exact_room[i], open_from
                )
            if not over[row] <= floor:
                count, floor = keep(ids[n], scores[n], known[n], count, floor, first + row, over[row], mine[:, row])
        counts[n], floors[n] = count, floor


@compiled
def reached(atoms: Int64, excess: Float32, limit: float, without: Int64) -> Int64:
    """Places in `atoms` (n,) of those whose excess is at least `limit`, and that are not in the rising `without`."""
    found, count = np.empty(len(atoms), np.int64), 0
    for e in range(len(atoms)):
        found[count] = e
        count += excess[e] >= limit and not contains(without, 0, len(without), atoms[e])
    return found[:count]


@compiled
def second_look(
    rows: Float32, places: Int64, known: Float32, references: Float32, weights: Float32, relative: Float32,
    room: Float32, knots: Float32, exact_room: Float32, open_from: float,
) -> Float32:  # fmt: skip
    """How far each of rows[places] exceeds what one certificate allows, (n,).

    known (n, .) are their products with the first references, as many as were kept.
    """
    found = np.empty(len(places), np.float32)
    products = np.empty(len(references), np.float32)
    for e in range(len(places)):
        atom = rows[places[e]]
        for j in range(len(references)):
            products[j] = known[e, j] if j < known.shape[1] else dot(atom, references[j])
        found[e] = closer_excess(products, weights, relative, room, atom, knots, exact_room, open_from)
    return found


@compiled
def multiply(rows: Float32 | NDArray[np.int16], scales: Float32, references: Float32, products: Float32) -> None:
    """Products (r, m) of rows (m, N) times scales (m,), of float32 or 16-bit integers, with few references (r, N)."""
    for m in range(len(rows)):
        for j in range(len(references)):
            total = np.float32(0)
            for i in range(rows.shape[1]):
                total += np.float32(rows[m, i]) * references[j, i]
            products[j, m] = total * scales[m]
