"""The certificate of the working set: a bound, rounding included, of what every neuron outside it reaches.

Let W be the neurons simulated, A_m[k] their leaky mean activation, c_k = 1 - (1 - 1/tau)^k, and

    v[k] = c_k S - sum_m A_m[k] phi_m        (N)

A neuron i outside W that never fires has u_i[k] = phi_i . v[k] (see `recurrence`). If |phi_i . v[k]| < lambda for every
such i and every k = 1 to K, then, step by step from u[0] = 0, no neuron outside W ever fires, nothing is missing from
the simulation, and its trajectory is the whole network's. What has to be bounded is |phi_i . v[k]|, given A as it
was computed. The chain, each link an inequality (nu = the largest norm of an atom, gamma_n = n e / (1 - n e) with e the
unit roundoff 2^-24 of float32, which bounds the rounding of a sum of n products in any order, relative to the sum of
their absolute values):

1. *Knots.* v[1] to v[K] is a path. `path.thin` keeps C of its points and knows how far (gap) each step may lie from
   the polygon through them. |phi . x| is convex, so on a chord it is largest at an end:
   |phi . v[k]| <= max_c (|phi . v_c| + nu gap_c), gap_c being the larger gap of the two chords that meet at knot c.
2. *Computed knots.* V_c = fl(v_c) in float32: ||V_c - v_c|| <= kappa_c = gamma_{w+4} (c_c ||S|| + nu ||A_c||_1).
3. *Screening.* Few references Q (r, N), already rounded to the type of the screening products; V_c is near
   X_c = sum_j alpha_cj q_j, rho_c = ||V_c - X_c|| computed as it is, so that rounding Q costs nothing more:
   |phi . V_c| <= |phi . X_c| + nu rho_c.
4. *Rounded atoms.* phi' is the atom as screening has it: itself, or rounded to bfloat16, or to 16-bit integers of a
   scale of its own. ||phi - phi'|| <= epsilon, measured: |phi . X_c| <= |phi' . X_c| + epsilon ||X_c||.
5. *Computed products.* p_j = fl(phi' . q_j), summed in float32 (a product of two bfloat16 is exact there) or, of
   integers, exactly; their scales come last. It is rounded to a type of unit roundoff e':
   |p_j - phi' . q_j| <= 1.01 e' |p_j| + gamma_{N+4} (nu + epsilon) ||q_j||.
   Their sum with weights alpha, too, is taken in float32. So
   |phi' . X_c| <= |fl(sum_j alpha_cj p_j)| + sum_j |alpha_cj| ((1.01 e' + gamma_{r+4}) max_j |p_j| +
                                                               gamma_{N+4} (nu + epsilon) ||q_j||).

An atom that 1 to 5 leave unproved is multiplied with every knot itself, in float32: instead of 3 to 5
|phi . V_c| <= |fl(phi . V_c)| + gamma_N nu ||V_c||. If that, too, reaches lambda, the atom joins the working set.

*A path that moved.* When atoms joined, the path is another, v', with knots V'_d, gap'_d and kappa'_d, but near the one
that was screened. By 1, with every atom that keeps below the room lambda - nu (gap_c + kappa_c) of each old knot by s,

    |phi . V_c| <= lambda - nu (gap_c + kappa_c) - s      for all c.

Let Y_d be any point on the chord between the old knots e and e + 1 (c = d and leak say where), delta_d = ||V'_d - Y_d||
from the computed ones: |phi . v'_d| <= |phi . Y_d| + nu (delta_d + kappa'_d), and |phi . Y_d| <= max(|phi . V_e|,
|phi . V_e+1|) <= lambda - s - nu min(gap + kappa over e, e + 1). So for

    shift = max_d nu (delta_d + kappa'_d + gap'_d - min(gap + kappa over e, e + 1))

every atom with s > shift is silent along the new path, too, and needs no second look. Screening keeps those with
s <= SLACK on a watch list (and notes where it had to drop some): only they, and only if s <= shift, are looked at
again. By 3 to 5 first, for which their products with the old references do, as far as the new knots lie near those;
then exactly. Where the shift exceeds what the list covers, all atoms are screened again.

The comparison itself is in float32 and loses a millionth of lambda. The bounds themselves are computed in float64 or
doubled where that is cheaper to see. Underflow (bfloat16 products flush what is below 1e-38) is neglected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca.compiled import compiled
from dseld_cli.lca.integers import round_references
from dseld_cli.lca.knots import (
    UNIT,
    dot64,
    fit,
    gamma,
    knot_rounding,
    knot_vectors,
    principal_directions,
    round_to_bfloat16,
)

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

KNOTS = 16
"""Points that stand for the whole path. Sixteen leave a gap of some hundredths of lambda at K = 100."""

MAX_REFERENCES = 6
RESIDUAL = 0.13
"""References are added until what they leave of every knot is this share of lambda, or there are MAX_REFERENCES."""

COMPARISON = 1e-6
"""Share of lambda that the float32 comparisons may lose."""


@dataclass(frozen=True)
class Precision:
    """How atoms are screened: what rounding costs at most.

    Attributes:
        norm: largest norm of an atom, nu.
        rounding: largest distance of an atom from itself as screening has it, epsilon.
        output: unit roundoff of the products, e'.
        references: what the references are rounded to.

    """

    norm: float
    rounding: float = 0.0
    output: float = UNIT
    references: Literal["float32", "int16", "bfloat16"] = "float32"


@dataclass(frozen=True)
class Certificates:
    """What each of B images asks of every atom phi outside its working set, to be silent at all K steps.

    Either |sum_j weights[i, c, j] p_j| + relative[i, c] max_j |p_j| < room[i, c] for every knot c, with p_j the product
    references[i, j] . phi as computed in screening; or |knots[i, c] . phi| < exact_room[i, c] for every c, in float32.

    Attributes:
        references: (B, R, N), the first counts[i] of which are image i's.
        counts: (B,).
        weights: (B, C, R), zero beyond counts[i].
        relative: (B, C).
        room: (B, C).
        knots: (B, C, N); those beyond an image's own are 0, with room lambda: they ask for nothing.
        exact_room: (B, C).
        leak: (B, C) c of each knot, 2 beyond an image's own.
        reserve: (B, C) nu (gap + kappa), what room leaves for the path between the knots and for their rounding.

    """

    references: Float32
    counts: Int64
    weights: Float32
    relative: Float32
    room: Float32
    knots: Float32
    exact_room: Float32
    leak: Float64
    reserve: Float64

    @classmethod
    def empty(cls, batch: int, n_features: int) -> Certificates:
        """Room for the certificates of a batch."""
        return cls(
            np.zeros((batch, MAX_REFERENCES, n_features), np.float32),
            np.zeros(batch, np.int64),
            np.zeros((batch, KNOTS, MAX_REFERENCES), np.float32),
            np.zeros((batch, KNOTS), np.float32),
            np.zeros((batch, KNOTS), np.float32),
            np.zeros((batch, KNOTS, n_features), np.float32),
            np.zeros((batch, KNOTS), np.float32),
            np.full((batch, KNOTS), 2.0),
            np.zeros((batch, KNOTS)),
        )

    def packed(self, asking: Int64) -> tuple[Float32, Int64]:
        """Join references of images `asking` (n,); and say where each one's start and the last one's end."""
        which, number = np.nonzero(np.arange(MAX_REFERENCES) < self.counts[asking, None])
        indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.counts[asking])])
        return self.references[asking[which], number], indptr


def certify(
    i: int, image: Float32, rows: Float32, places: Int64, path: tuple[Float64, Float64, Float64], lambda_: float,
    precision: Precision, into: Certificates,
) -> None:  # fmt: skip
    """Write certificate i, of an image (N,) whose path (A (C, f), c (C,), gap (C,)) is of atoms rows[places] (f, N)."""
    follow(i, image, rows, places, path, lambda_, precision, into)
    knots = into.knots[i, : number_of(into.leak[i])]
    into.references[i] = 0
    into.counts[i] = _directions(knots, RESIDUAL * lambda_, into.references[i])
    if precision.references == "int16":
        round_references(into.references[i, : into.counts[i]])
    elif precision.references == "bfloat16":
        round_to_bfloat16(into.references[i, : into.counts[i]])
    bound(i, into.references[i, : into.counts[i]], lambda_, precision, into)


def follow(
    i: int, image: Float32, rows: Float32, places: Int64, path: tuple[Float64, Float64, Float64], lambda_: float,
    precision: Precision, into: Certificates,
) -> None:  # fmt: skip
    """Write the knots of certificate i alone, and what is to be asked of atoms at them."""
    means, leak, gap = path
    _knots(
        image, rows, places, means, leak, gap, lambda_, precision.norm, into.knots[i], into.exact_room[i],
        into.leak[i], into.reserve[i],
    )  # fmt: skip


def bound(i: int, references: Float32, lambda_: float, precision: Precision, into: Certificates) -> None:
    """Write how knots i are bounded by products with references (r, N): its own, or those of another certificate."""
    _bounds(
        number_of(into.leak[i]), into.knots[i], into.reserve[i], references, lambda_, precision.norm,
        precision.rounding, precision.output, into.weights[i], into.relative[i], into.room[i],
    )  # fmt: skip


@compiled
def _knots(
    image: Float32, rows: Float32, places: Int64, means: Float64, leak: Float64, gap: Float64, lambda_: float,
    norm: float, knots: Float32, exact_room: Float32, leaks: Float64, reserve: Float64,
) -> None:  # fmt: skip
    """Write the knots, and what their rounding and the path between them leave; see `Certificates`."""
    knots[:], exact_room[:], leaks[:], reserve[:] = 0, lambda_, 2.0, 0.0
    knot_vectors(image, rows, places, means, leak, knots)
    kappa = knot_rounding(math.sqrt(dot64(image, image)), means, leak, norm)
    for c in range(len(leak)):
        leaks[c] = leak[c]
        reserve[c] = norm * (gap[c] + kappa[c])
        size = math.sqrt(dot64(knots[c], knots[c]))
        exact_room[c] = lambda_ * (1.0 - COMPARISON) - reserve[c] - 2.0 * gamma(len(image)) * norm * size


@compiled
def _directions(knots: Float32, residual: float, references: Float32) -> int:
    """Write the fewest references that leave no more than `residual` of any of the knots (n, N); how many they are."""
    n = len(knots)
    products = np.empty((n, n))
    for c in range(n):
        for d in range(c + 1):
            products[c, d] = products[d, c] = dot64(knots[c], knots[d])
    mixtures = principal_directions(products, residual, len(references))
    for j in range(len(mixtures)):
        for c in range(n):
            references[j] += np.float32(mixtures[j, c]) * knots[c]
    return len(mixtures)


@compiled
def _bounds(
    n: int, knots: Float32, reserve: Float64, references: Float32, lambda_: float, norm: float, rounding: float,
    output: float, weights: Float32, relative: Float32, room: Float32,
) -> None:  # fmt: skip
    """Write weights, relative and room of n knots by given references (r, N); see `Certificates`."""
    n_features, count = knots.shape[1], len(references)
    weights[:], relative[:], room[:] = 0, 0, lambda_
    sizes = fit(knots[:n], references, weights)
    near = np.empty(n_features)  # X_c
    for c in range(n):
        rest, size, spread, share = 0.0, 0.0, 0.0, 0.0
        near[:] = 0
        for j in range(count):
            for i in range(n_features):
                near[i] += np.float64(weights[c, j]) * references[j, i]
        for i in range(n_features):
            rest += (knots[c, i] - near[i]) ** 2
            size += near[i] * near[i]
        for j in range(count):
            spread += abs(weights[c, j]) * sizes[j]
            share += abs(weights[c, j])
        room[c] = (
            lambda_ * (1.0 - COMPARISON)
            - reserve[c]
            - norm * math.sqrt(rest)
            - rounding * math.sqrt(size)
            - gamma(n_features + 4) * (norm + rounding) * spread
        )
        relative[c] = share * (1.01 * output + gamma(count + 4))


@compiled
def shift(
    norm: float, old: Float32, old_leak: Float64, old_reserve: Float64, knots: Float32, leak: Float64, reserve: Float64
) -> float:
    """How much nearer to lambda an atom may come along a path that moved; see the head.

    `old` (C, N), `old_leak` and `old_reserve` (C,) are of the certificate that all atoms were screened with, the others
    of the new one.
    """
    worst, e = -math.inf, 0
    last = number_of(old_leak) - 1
    for d in range(number_of(leak)):
        while e + 1 < last and old_leak[e + 1] < leak[d]:
            e += 1
        f = min(e + 1, last)
        span = old_leak[f] - old_leak[e]
        share = min(max((leak[d] - old_leak[e]) / span, 0.0), 1.0) if span > 1e-9 else 0.0
        apart = 0.0
        for i in range(knots.shape[1]):
            apart += (knots[d, i] - (1.0 - share) * old[e, i] - share * old[f, i]) ** 2
        more = norm * math.sqrt(apart) + reserve[d] - min(old_reserve[e], old_reserve[f])
        if more != more:
            return math.inf
        worst = max(worst, more)
    return worst


@compiled
def number_of(leak: Float64) -> int:
    """How many knots a certificate has: behind them, leak is 2."""
    n = 1
    while n < len(leak) and leak[n] < 1.5:
        n += 1
    return n
