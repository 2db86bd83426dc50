"""The recurrence of few neurons, compiled: their code, and the path of what the image's residual does meanwhile.

A neuron's bits depend on the neurons that fire alone, and on nothing that is simulated beside them: those that fire are
summed in the order of their atoms, whatever else is in the working set, and wherever it stands there.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca.compiled import compiled, compiled_as_written

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


@compiled
def driving_input(image: Float32, rows: Float32, places: Int64) -> Float64:
    """Driving input b (w,) of an image (N,): its inner products with rows[places], in float64.

    Four rows at a time, the last ones too, so that all are summed alike: they come from memory, which one alone would
    wait for.
    """
    n, wide = len(places), np.empty(len(image))
    for j in range(len(image)):
        wide[j] = image[j]
    b = np.zeros(n + 3)
    for i in range(0, n, 4):
        p, q = rows[places[i]], rows[places[min(i + 1, n - 1)]]
        r, s = rows[places[min(i + 2, n - 1)]], rows[places[min(i + 3, n - 1)]]
        t = u = v = w = 0.0
        for j in range(len(wide)):
            t, u, v, w = t + p[j] * wide[j], u + q[j] * wide[j], v + r[j] * wide[j], w + s[j] * wide[j]
        b[i], b[i + 1], b[i + 2], b[i + 3] = t, u, v, w
    return b[:n]


@compiled_as_written
def simulate(
    gram: Float32,
    b: Float64,
    order: Int64,
    norm_s: float,
    rounding: float,
    lambda_: float,
    tau: float,
    steps: int,
    knots: int,
) -> tuple[Float64, NDArray[np.int32], Float64, Int64, Float64, Float64, Float64]:
    """Run the recurrence of w neurons in float64; summarise its path v[k] = c_k S - sum_m A_m[k] phi_m by few knots.

    `gram` is G[W, W] (w, w), or has zeros behind its rows, `b` (w,), `order` (w,) sorts the neurons by their atoms,
    `norm_s` = ||S||. `rounding` is the relative error of G a: of the entries of `gram`, and of their sum, taken in
    float32. Returns the code a[K] (w,), firing (K,), energy (K + 1,), the f neurons that ever fired, and for at most
    `knots` steps: their A (knots, f), c (knots,), gap (knots,).
    """
    w = len(b)
    eta = 1.0 / tau
    u, a = np.zeros(w), np.zeros(w)
    lateral = np.zeros(gram.shape[1], np.float32)
    ever = np.zeros(w, np.bool_)
    active, count = np.zeros(w + 1, np.int64), 0
    firing, energy = np.zeros(steps, np.int32), np.zeros(steps + 1)
    room = max(4 * knots, 64)
    paths = np.empty((2, room, w))  # A and G A at the steps that are kept
    paths[:, 0] = 0
    leak, gap = np.zeros(room), np.zeros(room)  # c_k; gap[j]: how far the path may leave the chord from j to j + 1
    chord = np.full(room, -1.0)  # chord[j]: how far point j is from the chord between its neighbours, if that is known
    silence, n = 1.0, 0
    for k in range(steps):
        silence *= 1.0 - eta
        if n == room:
            n = thin(paths, leak, gap, chord, n, room // 2, b, norm_s, rounding, 1e-4 * lambda_)
        before = max(n - 1, 0)
        for i in range(w):
            paths[0, n, i] = (1.0 - eta) * paths[0, before, i] + eta * a[i]
            paths[1, n, i] = (1.0 - eta) * paths[1, before, i] + eta * lateral[i]
        leak[n], gap[n], chord[n] = 1.0 - silence, 0.0, -1.0
        n += 1
        for i in range(w):
            u[i] += eta * (b[i] - u[i] - (lateral[i] - a[i]))
            a[i] = u[i] - min(max(u[i], -lambda_), lambda_)
        count = 0
        for o in range(w):
            i = order[o]
            fires = a[i] != 0.0
            active[count] = i
            ever[i] |= fires
            count += fires
        inhibit(gram, a, active[:count], lateral)
        firing[k] = count
        total = 0.0
        for f in range(count):
            i = active[f]
            total += a[i] * (0.5 * lateral[i] - b[i]) + lambda_ * abs(a[i])
        energy[k + 1] = total
    n = thin(paths, leak, gap, chord, n, knots, b, norm_s, rounding, 1e-4 * lambda_)
    for j in range(n - 1, 0, -1):  # a knot answers for the chords on both its sides
        gap[j] = max(gap[j], gap[j - 1])
    fired = np.nonzero(ever)[0]
    means = np.empty((n, len(fired)))
    for c in range(n):
        for f in range(len(fired)):
            means[c, f] = paths[0, c, fired[f]]
    return a, firing, energy, fired, means, leak[:n].copy(), gap[:n].copy()


@compiled_as_written
def inhibit(gram: Float32, a: Float64, active: Int64, lateral: Float32) -> None:
    """Write G a into `lateral`, in float32, eight firing neurons at a time."""
    lateral[:] = 0
    full = len(active) // 8 * 8
    for f in range(0, full, 8):
        p, q, r, s = active[f], active[f + 1], active[f + 2], active[f + 3]
        t, u, v, w = active[f + 4], active[f + 5], active[f + 6], active[f + 7]
        ap, aq, ar, as_ = np.float32(a[p]), np.float32(a[q]), np.float32(a[r]), np.float32(a[s])
        at, au, av, aw = np.float32(a[t]), np.float32(a[u]), np.float32(a[v]), np.float32(a[w])
        for i in range(len(lateral)):
            lateral[i] += (
                (ap * gram[p, i] + aq * gram[q, i]) + (ar * gram[r, i] + as_ * gram[s, i])
                + (at * gram[t, i] + au * gram[u, i]) + (av * gram[v, i] + aw * gram[w, i])
            )  # fmt: skip
    for f in range(full, len(active)):
        p = active[f]
        x = np.float32(a[p])
        for i in range(len(lateral)):
            lateral[i] += x * gram[p, i]


@compiled
def thin(
    paths: Float64, leak: Float64, gap: Float64, chord: Float64, n: int, target: int, b: Float64, norm_s: float,
    rounding: float, tolerance: float,
) -> int:  # fmt: skip
    """Drop points of the path, those nearest to the chord of their neighbours first, until at most `target` are left.

    Every point dropped adds its distance from the new chord to that chord's gap: a point between the two old chords is
    a mixture of points of them, so its distance is at most the larger old gap plus that distance. First and last stay.
    What is known of these distances is in `chord`, -1 where a neighbour is another one since.
    """
    while n > max(target, 2):
        kept = 1
        j = 1
        while j < n:
            if j < n - 1:
                if chord[j] < 0:
                    chord[j] = chord_distance(paths, leak, kept - 1, j, j + 1, b, norm_s, rounding)
                wider = max(gap[kept - 1], gap[j]) + chord[j]
                if wider <= tolerance:
                    gap[kept - 1] = wider
                    chord[kept - 1] = chord[j + 1] = -1.0
                    j += 1  # the neighbour stays in this sweep
            if kept < j:
                for i in range(len(b)):
                    paths[0, kept, i], paths[1, kept, i] = paths[0, j, i], paths[1, j, i]
                leak[kept], gap[kept], chord[kept] = leak[j], gap[j], chord[j]
            kept += 1
            j += 1
        if kept == n and not tolerance < math.inf:  # a path that is not finite: keep its ends alone
            for i in range(len(b)):
                paths[0, 1, i], paths[1, 1, i] = paths[0, n - 1, i], paths[1, n - 1, i]
            leak[1], gap[0], chord[1], n = leak[n - 1], math.inf, -1.0, 2
        else:
            n = kept
        tolerance *= 2.0
    return n


@compiled
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
