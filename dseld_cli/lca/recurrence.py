"""The LCA recurrence, written beside the paper (Takaghaj & Sampson, "D-SELD", Eq. 3 to 6).

One neuron an atom. Membrane potentials u integrate the driving input b = Phi S, leak, and are inhibited by the
neurons that fire, each in proportion to its inner product with them:

    tau du/dt = b - u - (G - I) a          (Eq. 3)      G = Phi Phi^T   (Eq. 5)
            a = T_lambda(u)                (Eq. 6)      b = Phi S       (Eq. 4)

Deviations and choices, where the paper leaves them open:

- Euler steps of eta = 1/tau from u[0] = 0; the code is a[K], thresholded after the last of the K steps.
  K = 1 gives T_lambda(b / tau).
- T_lambda is the two-sided soft threshold: a neuron may fire with either sign.
- Atoms have unit L2 norm, so that the diagonal of G which Eq. 3 drops is I. Inputs S are not normalised: lambda is in
  units of ||S||.
- With K = tau = 100 the code is not converged (the leak alone covers 63 %): it is the K-step LCA code, not the LASSO
  solution, to which it converges for K >> tau.
- The Euler step is stable while the largest eigenvalue of G over the neurons that fire stays below 2 tau: then, and
  whatever the input, no step raises the energy E(a) = ||S - Phi^T a||^2 / 2 + lambda ||a||_1. So an energy that does
  rise proves that the step was too long for the neurons that fired. At the onset, when many fire at once, some images
  overshoot, and settle as soon as the neurons have silenced each other (3 in 2,000 of CIFAR-10): no harm is done. Where
  the energy still rises in the last half of the steps the code is an accident of K, and `unstable` reports the image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = Any
"""Numbers on the processor (NumPy) or a GPU (torch): the recurrence asks for nothing in which the two differ."""

Inhibition = Callable[[Array], Array]
"""Lateral inhibition: activations a (B, M) to (G - I) a (B, M)."""

MAX_ENERGY_RISE = 0.01
"""By this share of its whole descent the energy may rise in the last half of the steps: float32 rounding stays three
orders of magnitude below it, an oscillation passes it within a few steps."""


@dataclass(frozen=True)
class LCAParams:
    """What governs the recurrence.

    Attributes:
        lambda_: firing threshold (> 0), in units of the norm of the features.
        tau: time constant in steps (>= 1).
        steps: number of steps K (>= 1).

    Raises:
        ValueError: if one of them is out of its range.

    """

    lambda_: float
    tau: float = 100.0
    steps: int = 100

    def __post_init__(self) -> None:
        numbers = isinstance(self.lambda_, Real) and isinstance(self.tau, Real) and isinstance(self.steps, Integral)
        if not (numbers and 0 < self.lambda_ < np.inf and 1 <= self.tau < np.inf and self.steps >= 1):
            raise ValueError(f"Expected lambda > 0, tau >= 1 and whole steps >= 1. Got {self}")


@dataclass(frozen=True)
class Response:
    """What a batch of B images evoked: the code, and what every step is asked for.

    Attributes:
        code: a[K], (B, M).
        firing: neurons firing after each step, a[1] to a[K], (B, K) int32.
        fired: neurons that fired after any step, (B,) int64.
        energy: E(a[k]) - E(0) for k = 0 to K, (B, K + 1), in units of ||S||^2. Zero at k = 0.

    """

    code: NDArray[np.float32]
    firing: NDArray[np.int32]
    fired: NDArray[np.int64]
    energy: NDArray[np.float64]


def soft_threshold(u: Array, lambda_: float) -> Array:
    """Activation a = T_lambda(u) = sign(u) max(|u| - lambda, 0), elementwise (Eq. 6)."""
    return u - u.clip(-lambda_, lambda_)


def energy_above_silence(a: Array, b: Array, lateral: Array, lambda_: float) -> Array:
    """E(a) - E(0) of each image, (B,), from a, b and lateral = (G - I) a, all (B, M).

    ||S - Phi^T a||^2 / 2 - ||S||^2 / 2 = a.(G a) / 2 - a.b, so that neither S nor Phi is needed.
    """
    found = lateral + a
    found *= 0.5
    found -= b
    found *= a
    return found.sum(1) + lambda_ * abs(a).sum(1)


def run_lca(b: Array, inhibition: Inhibition, params: LCAParams) -> Response:
    """Run the K steps of the recurrence for a batch of driving inputs b (B, M), at K products with the Gramian."""
    u, a, lateral = 0 * b, 0 * b, 0 * b
    firing, energy, ever = [], [b.sum(1) * 0], b != b
    with np.errstate(over="ignore", invalid="ignore"):  # `unstable` reports what diverges
        for _ in range(params.steps):
            change = b - u
            change -= lateral
            change /= params.tau
            u += change
            a = soft_threshold(u, params.lambda_)
            lateral = inhibition(a)
            fires = a != 0
            ever |= fires
            firing.append(fires.sum(1))
            energy.append(energy_above_silence(a, b, lateral, params.lambda_))
    counts, energies = (np.stack([on_host(x) for x in path], axis=1) for path in (firing, energy))
    fired = on_host(ever.sum(1)).astype(np.int64)
    return Response(on_host(a), counts.astype(np.int32), fired, energies.astype(np.float64))


def on_host(array: Array) -> NDArray[Any]:
    """Bring an array to the processor's memory."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.cpu())


def unstable(energy: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which images' recurrences diverged or oscillated, (B,), from their energies (B, K + 1).

    See the head of this module: a stable recurrence never raises the energy.
    """
    half = (energy.shape[1] - 1) // 2
    with np.errstate(invalid="ignore"):
        rise = np.diff(energy[:, half:], axis=1).clip(0).sum(axis=1)
        settled = rise <= MAX_ENERGY_RISE * -energy.min(axis=1)
    diverged: NDArray[np.bool_] = ~(settled & np.isfinite(energy).all(axis=1))
    return diverged
