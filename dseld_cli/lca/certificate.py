"""The certificate of the working set: a bound, rounding included, of what every neuron outside it reaches.

Let W be the neurons simulated, A_m[k] their leaky mean activation, c_k = 1 - (1 - 1/tau)^k, and

    v[k] = c_k S - sum_m A_m[k] phi_m        (N)

A neuron i outside W that never fires has u_i[k] = phi_i . v[k] (see `dynamics`). If |phi_i . v[k]| < lambda for every
such i and every k = 1 to K, then, step by step from u[0] = 0, no neuron outside W ever fires, nothing is missing from
the simulation, and its trajectory is the whole network's. What has to be bounded is |phi_i . v[k]|, given A as it
was computed. The chain, each link an inequality (nu = the largest norm of an atom, gamma_n = n e / (1 - n e) with e the
unit roundoff 2^-24 of float32, which bounds the rounding of a sum of n products in any order, relative to the sum of
their absolute values):

1. *Knots.* v[1] to v[K] is a path. `kernels.thin` keeps C of its points and knows how far (gap) each step may lie from
   the polygon through them. |phi . x| is convex, so on a chord it is largest at an end:
   |phi . v[k]| <= max_c (|phi . v_c| + nu gap_c), gap_c being the larger gap of the two chords that meet at knot c.
2. *Computed knots.* V_c = fl(v_c) in float32: ||V_c - v_c|| <= kappa_c = gamma_{w+4} (c_c ||S|| + nu ||A_c||_1).
3. *Screening.* Few references Q (r, N), already rounded to the type of the screening products; V_c is near
   X_c = sum_j alpha_cj q_j, rho_c = ||V_c - X_c|| computed as it is, so that rounding Q costs nothing more:
   |phi . V_c| <= |phi . X_c| + nu rho_c.
4. *Rounded atoms.* ||phi - phi'|| <= epsilon, measured: |phi . X_c| <= |phi' . X_c| + epsilon ||X_c||.
5. *Computed products.* p_j = fl(phi' . q_j), summed in float32 (a product of two bfloat16 is exact there) and rounded
   to the type of the result, of unit roundoff e': |p_j - phi' . q_j| <= 1.01 e' |p_j| + gamma_N (nu + epsilon) ||q_j||.
   Their sum with weights alpha, too, is taken in float32. So
   |phi' . X_c| <= |fl(sum_j alpha_cj p_j)| + sum_j |alpha_cj| ((1.01 e' + gamma_{r+4}) max_j |p_j| +
                                                               gamma_N (nu + epsilon) ||q_j||).

An atom that 1 to 5 leave unproved is multiplied with every knot itself, in float32: instead of 3 to 5
|phi . V_c| <= |fl(phi . V_c)| + gamma_N nu ||V_c||. If that, too, reaches lambda, the atom joins the working set.

The comparison itself is in float32 and loses a millionth of lambda. The bounds themselves are computed in float64 or
doubled where that is cheaper to see. Underflow (bfloat16 products flush what is below 1e-38) is neglected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

KNOTS = 16
"""Points that stand for the whole path. Sixteen leave a gap of some hundredths of lambda at K = 100."""

MAX_REFERENCES = 6
RESIDUAL = 0.13
"""References are added until what they leave of every knot is this share of lambda, or there are MAX_REFERENCES."""

COMPARISON = 1e-6
"""Share of lambda that the float32 comparisons may lose."""


@dataclass(frozen=True)
class Precision:
    """How atoms are screened: the type of the products, and what rounding the atoms to it cost them at most.

    Attributes:
        dtype: bfloat16 or float32.
        norm: largest norm of an atom, nu.
        rounding: largest distance of an atom from itself rounded to dtype, epsilon.

    """

    dtype: torch.dtype
    norm: float
    rounding: float


@dataclass(frozen=True)
class Certificate:
    """What an image asks of every atom phi outside its working set, to be silent at all K steps.

    Either |sum_j weights[c, j] p_j| + relative[c] max_j |p_j| < room[c] for every knot c, with p_j the product
    references[j] . phi as computed in the screening type; or |knots[c] . phi| < exact_room[c] for every c, in float32.

    Attributes:
        references: (r, N) in the screening type.
        weights: (C, MAX_REFERENCES) float32, zero beyond r.
        relative: (C,) float32.
        room: (C,) float32.
        knots: (C, N) float32.
        exact_room: (C,) float32.

    """

    references: Tensor
    weights: Float32
    relative: Float32
    room: Float32
    knots: Float32
    exact_room: Float32


def gamma(n: int, dtype: torch.dtype = torch.float32) -> float:
    """Relative rounding error of a sum of n products, in any order; 1 where n is too large to say anything."""
    share = n * torch.finfo(dtype).eps / 2
    return share / (1 - share) if share < 0.5 else 1.0


def knot_vectors(image: Float32, atoms: Float32, means: Float64, leak: Float64) -> Float32:
    """Knots V = c S - A Phi_W (C, N) in float32, of image (N,), atoms (w, N), means A (C, w) and leak c (C,)."""
    return leak.astype(np.float32)[:, None] * image - means.astype(np.float32) @ atoms


def knot_rounding(norm_s: float, means: Float64, leak: Float64, norm: float) -> Float64:
    """Distance kappa (C,): how far a knot in float32 may be from the true one."""
    size: Float64 = leak * norm_s + norm * np.abs(means).sum(axis=1)
    return gamma(means.shape[1] + 4) * size


def principal_directions(knots: Float64, tolerance: float) -> Float64:
    """Fewest leading right singular vectors (r, N) that leave no more than `tolerance` of any knot."""
    squares, vectors = np.linalg.eigh(knots @ knots.T)
    left = vectors[:, ::-1] * np.sqrt(np.maximum(squares[::-1], 0))  # (C, C): a knot's coordinates
    energy = np.cumsum(left**2, axis=1)
    missing = np.sqrt(np.maximum(energy[:, -1:] - energy, 0)).max(axis=0)
    count = min(int(np.argmax(missing <= tolerance)) + 1, MAX_REFERENCES)
    directions: Float64 = vectors[:, ::-1][:, :count].T @ knots
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-30)
    return directions


def certify(
    image: Float32, atoms: Float32, means: Float64, leak: Float64, gap: Float64, lambda_: float, precision: Precision
) -> Certificate:
    """Write down the certificate of one image, whose path has knots at `means` A (C, w) and `leak` c (C,)."""
    norm, rounding, n_features = precision.norm, precision.rounding, len(image)
    norm_s = float(np.linalg.norm(image.astype(np.float64)))
    knots32 = knot_vectors(image, atoms, means, leak)
    knots = knots32.astype(np.float64)
    room = lambda_ * (1 - COMPARISON) - norm * (gap + knot_rounding(norm_s, means, leak, norm))
    exact_room = room - 2 * gamma(n_features) * norm * np.linalg.norm(knots, axis=1)

    references = torch.from_numpy(principal_directions(knots, RESIDUAL * lambda_)).to(precision.dtype)
    q = references.double().numpy()  # (r, N)
    weights32 = (knots @ q.T @ np.linalg.pinv(q @ q.T)).astype(np.float32)
    weights = weights32.astype(np.float64)  # (C, r)
    approximation = weights @ q  # X
    room = (
        room - norm * np.linalg.norm(knots - approximation, axis=1) - rounding * np.linalg.norm(approximation, axis=1)
    )
    room -= gamma(n_features) * (norm + rounding) * np.abs(weights) @ np.linalg.norm(q, axis=1)
    output = 1.01 * gamma(1, precision.dtype) + gamma(len(q) + 4)
    return Certificate(
        references,
        padded(weights32, (KNOTS, MAX_REFERENCES)),
        padded((np.abs(weights).sum(axis=1) * output).astype(np.float32), (KNOTS,)),
        padded(room.astype(np.float32), (KNOTS,), lambda_),
        padded(knots32, (KNOTS, n_features)),
        padded(exact_room.astype(np.float32), (KNOTS,), lambda_),
    )


def padded(values: Float32, shape: tuple[int, ...], fill: float = 0.0) -> Float32:
    """Copy `values` into the first corner of a larger array: a knot at 0 with room lambda asks for nothing."""
    out = np.full(shape, fill, np.float32)
    out[tuple(slice(n) for n in values.shape)] = values
    return out
