"""Compiled inner loops of the working-set encoder: the recurrence of few neurons, and the screening of all others.

Sums may be reassociated and contracted (`FAST`), which the rounding bounds of `certificate` allow for; NaN and infinity
keep their meaning, so that a comparison with NaN never proves anything.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

FAST = {"reassoc", "contract", "nsz", "arcp"}

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


@njit(cache=True, nogil=True, fastmath=FAST)
def simulate(
    gram: Float32, b: Float64, norm_s: float, rounding: float, lambda_: float, tau: float, steps: int, knots: int
) -> tuple[Float64, NDArray[np.int32], Float64, Float64, Float64, Float64]:
    """Run the recurrence of w neurons in float64; summarise its path v[k] = c_k S - sum_m A_m[k] phi_m by few knots.

    `gram` is G[W, W] (w, w), `b` (w,), `norm_s` = ||S||, `rounding` the relative error of an entry of `gram`. Returns
    code a[K] (w,), firing (K,), energy (K + 1,), and for at most `knots` steps: A (knots, w), c (knots,), gap (knots,).
    """
    w = len(b)
    eta = 1.0 / tau
    u, a, lateral = np.zeros(w), np.zeros(w), np.zeros(w)
    firing, energy = np.zeros(steps, np.int32), np.zeros(steps + 1)
    room = max(4 * knots, 64)
    paths = np.zeros((2, room, w))  # A and G A at the steps that are kept
    leak, gap = np.zeros(room), np.zeros(room)  # c_k; gap[j]: how far the path may leave the chord from j to j + 1
    silence, n = 1.0, 0
    for k in range(steps):
        silence *= 1.0 - eta
        if n == room:
            n = thin(paths, leak, gap, n, room // 2, b, norm_s, rounding, 1e-4 * lambda_)
        before = max(n - 1, 0)
        for i in range(w):
            paths[0, n, i] = (1.0 - eta) * paths[0, before, i] + eta * a[i]
            paths[1, n, i] = (1.0 - eta) * paths[1, before, i] + eta * lateral[i]
        leak[n], gap[n] = 1.0 - silence, 0.0
        n += 1
        for i in range(w):
            u[i] += eta * (b[i] - u[i] - (lateral[i] - a[i]))
            lateral[i] = 0.0
            a[i] = math.copysign(max(abs(u[i]) - lambda_, 0.0), u[i]) if abs(u[i]) > lambda_ else 0.0 * u[i]
        inhibit(gram, a, lateral)
        for i in range(w):
            firing[k] += a[i] != 0.0
            energy[k + 1] += a[i] * (0.5 * lateral[i] - b[i]) + lambda_ * abs(a[i])
    n = thin(paths, leak, gap, n, knots, b, norm_s, rounding, 1e-4 * lambda_)
    for j in range(n - 1, 0, -1):  # a knot answers for the chords on both its sides
        gap[j] = max(gap[j], gap[j - 1])
    return a, firing, energy, paths[0, :n].copy(), leak[:n].copy(), gap[:n].copy()


@njit(cache=True, nogil=True, fastmath=FAST)
def inhibit(gram: Float32, a: Float64, lateral: Float64) -> None:
    """Add G a to `lateral`, four firing neurons at a time."""
    active = np.nonzero(a)[0]
    full = len(active) // 4 * 4
    for f in range(0, full, 4):
        p, q, r, s = active[f], active[f + 1], active[f + 2], active[f + 3]
        x, y, z, t = a[p], a[q], a[r], a[s]
        for i in range(len(a)):
            lateral[i] += x * gram[p, i] + y * gram[q, i] + z * gram[r, i] + t * gram[s, i]
    for f in range(full, len(active)):
        p = active[f]
        for i in range(len(a)):
            lateral[i] += a[p] * gram[p, i]


@njit(cache=True, nogil=True, fastmath=FAST)
def thin(
    paths: Float64,
    leak: Float64,
    gap: Float64,
    n: int,
    target: int,
    b: Float64,
    norm_s: float,
    rounding: float,
    tolerance: float,
) -> int:
    """Drop points of the path, those nearest to the chord of their neighbours first, until at most `target` are left.

    Every point dropped adds its distance from the new chord to that chord's gap: a point between the two old chords is
    a mixture of points of them, so its distance is at most the larger old gap plus that distance. First and last stay.
    """
    while n > max(target, 2):
        kept = 1
        j = 1
        while j < n:
            if j < n - 1:
                wider = max(gap[kept - 1], gap[j]) + chord_distance(
                    paths, leak, kept - 1, j, j + 1, b, norm_s, rounding
                )
                if wider <= tolerance:
                    gap[kept - 1] = wider
                    j += 1  # the neighbour stays in this sweep
            paths[:, kept], leak[kept], gap[kept] = paths[:, j], leak[j], gap[j]
            kept += 1
            j += 1
        if kept == n and not tolerance < math.inf:  # a path that is not finite: keep its ends alone
            paths[:, 1], leak[1], gap[0], n = paths[:, n - 1], leak[n - 1], math.inf, 2
        else:
            n = kept
        tolerance *= 2.0
    return n


@njit(cache=True, nogil=True, fastmath=FAST)
def chord_distance(
    paths: Float64, leak: Float64, left: int, middle: int, right: int, b: Float64, norm_s: float, rounding: float
) -> float:
    """Upper bound of the distance of path point `middle` from a point on the chord between `left` and `right`.

    With d_0 and d the differences in c and A, ||d_0 S - sum_m d_m phi_m||^2 = d_0^2 ||S||^2 - 2 d_0 d.b + d.(G d).
    """
    span = leak[right] - leak[left]
    share = (leak[middle] - leak[left]) / span if span > 1e-9 else 0.5
    d0 = leak[middle] - (1.0 - share) * leak[left] - share * leak[right]
    with_b, with_gram, size = 0.0, 0.0, 0.0
    for i in range(len(b)):
        d = paths[0, middle, i] - (1.0 - share) * paths[0, left, i] - share * paths[0, right, i]
        inhibition = paths[1, middle, i] - (1.0 - share) * paths[1, left, i] - share * paths[1, right, i]
        with_b += d * b[i]
        with_gram += d * inhibition
        size += abs(d)
    square = d0 * d0 * norm_s * norm_s - 2.0 * d0 * with_b + with_gram
    error = rounding * (size + abs(d0) * norm_s) ** 2
    return math.sqrt(abs(square) + error)


@njit(cache=True, nogil=True, parallel=True)
def look_up(
    tile: Float32, row: int, column: int, indptr: Int64, atoms: Int64, positions: Int64, starts: Int64, entries: Float32
) -> None:
    """Copy what a tile of the Gramian, whose first entry is (row, column), has of every image's G[W, W], and mirror it.

    Image i's working set is atoms[indptr[i]:indptr[i + 1]], rising, at `positions` of its G[W, W], which is
    entries[starts[i]:], row by row.
    """
    for i in prange(len(starts)):
        ids, places = atoms[indptr[i] : indptr[i + 1]], positions[indptr[i] : indptr[i + 1]]
        w = len(ids)
        first, last = np.searchsorted(ids, row), np.searchsorted(ids, row + tile.shape[0])
        left, right = np.searchsorted(ids, column), np.searchsorted(ids, column + tile.shape[1])
        for p in range(first, last):
            for q in range(left, right):
                value = tile[ids[p] - row, ids[q] - column]
                entries[starts[i] + places[p] * w + places[q]] = value
                entries[starts[i] + places[q] * w + places[p]] = value


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def keep(ids: Int64, scores: Float32, count: int, floor: float, atom: int, score: float) -> tuple[int, float]:
    """Add an atom to the strongest so far of one image, and drop the weaker half when there is no room left.

    Half the room is what is guaranteed to be kept; `floor` is the score below which nothing is worth adding.
    """
    ids[count], scores[count] = atom, score
    count += 1
    half = len(ids) // 2
    if count == len(ids):
        order = np.argsort(-scores)[:half]
        ids[:half], scores[:half] = ids[order], scores[order]
        count, floor = half, scores[half - 1]
    return count, floor


@njit(cache=True, nogil=True, parallel=True)
def collect_strongest(
    products: Float32,
    first: int,
    skip_indptr: Int64,
    skip: Int64,
    ids: Int64,
    scores: Float32,
    counts: Int64,
    floors: Float32,
) -> None:
    """Keep the atoms of largest |product| of every image: products (B, rows) of atoms first, first + 1, ...

    `skip[skip_indptr[i]:skip_indptr[i + 1]]` are image i's excluded atoms, rising. `ids`, `scores` (B, room), `counts`
    and `floors` (B,) are the strongest so far.
    """
    for i in prange(len(products)):
        count, floor = counts[i], floors[i]
        for row in range(products.shape[1]):
            score = abs(products[i, row])
            if score > floor and not contains(skip, skip_indptr[i], skip_indptr[i + 1], first + row):
                count, floor = keep(ids[i], scores[i], count, floor, first + row, score)
        counts[i], floors[i] = count, floor


@njit(cache=True, nogil=True, fastmath=FAST)
def screen(products: Float32, weights: Float32, relative: Float32, room: Float32, excess: Float32) -> None:
    """How far each atom's bound exceeds what is allowed, at its worst knot: excess (rows,), negative when proved.

    products (r, rows) with the r references, weights (C, r), relative and room (C,): see `certificate.Certificate`.
    """
    largest = np.zeros(len(excess), np.float32)
    for j in range(len(products)):
        for row in range(len(excess)):
            largest[row] = max(largest[row], abs(products[j, row]))
    excess[:] = -np.inf
    estimate = np.empty(len(excess), np.float32)
    for c in range(len(weights)):
        estimate[:] = 0
        for j in range(len(products)):
            weight = weights[c, j]
            for row in range(len(excess)):
                estimate[row] += weight * products[j, row]
        for row in range(len(excess)):
            over = abs(estimate[row]) + relative[c] * largest[row] - room[c]
            excess[row] = over if not over <= excess[row] else excess[row]


@njit(cache=True, nogil=True, fastmath=FAST)
def dot(x: Float32, y: Float32) -> float:
    """Inner product in float32, in any order."""
    total = np.float32(0)
    for i in range(len(x)):
        total += x[i] * y[i]
    return float(total)


@njit(cache=True, nogil=True, fastmath=FAST)
def exact_excess(
    products: Float32,
    atom: Float32,
    weights: Float32,
    relative: Float32,
    room: Float32,
    knots: Float32,
    exact_room: Float32,
) -> float:
    """How far one atom's bound exceeds what is allowed, multiplying it with those knots that screening leaves open."""
    largest = np.float32(0)
    for j in range(len(products)):
        largest = max(largest, abs(products[j]))
    worst = -np.inf
    for c in range(len(knots)):
        estimate = np.float32(0)
        for j in range(len(products)):
            estimate += weights[c, j] * products[j]
        if abs(estimate) + relative[c] * largest - room[c] < 0:
            continue
        over = abs(dot(atom, knots[c])) - exact_room[c]
        worst = over if not over <= worst else worst
    return worst


@njit(cache=True, nogil=True, parallel=True)
def collect_violators(
    products: Float32,
    block: Float32,
    first: int,
    reference_indptr: Int64,
    weights: Float32,
    relative: Float32,
    room: Float32,
    knots: Float32,
    exact_room: Float32,
    skip_indptr: Int64,
    skip: Int64,
    ids: Int64,
    scores: Float32,
    counts: Int64,
    floors: Float32,
    found: Int64,
) -> None:
    """Find the atoms of `block` (rows, N) that the certificates of B images do not prove silent.

    First the screening bound from products (references, rows); the atoms it leaves are multiplied with every knot
    (B, C, N) in float32. What is left then is counted in `found` (B,), and the strongest of them are kept.
    """
    for i in prange(len(weights)):
        excess = np.empty(len(block), np.float32)
        start, stop = reference_indptr[i], reference_indptr[i + 1]
        screen(products[start:stop], weights[i, :, : stop - start], relative[i], room[i], excess)
        count, floor = counts[i], floors[i]
        for row in range(len(block)):
            if excess[row] < 0 or contains(skip, skip_indptr[i], skip_indptr[i + 1], first + row):
                continue
            worst = exact_excess(
                products[start:stop, row], block[row], weights[i], relative[i], room[i], knots[i], exact_room[i]
            )
            if worst < 0:
                continue
            found[i] += 1
            if not worst <= floor:
                count, floor = keep(ids[i], scores[i], count, floor, first + row, worst)
        counts[i], floors[i] = count, floor
