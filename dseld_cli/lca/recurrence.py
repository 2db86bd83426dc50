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

import torch
from torch import Tensor

Inhibition = Callable[[Tensor], Tensor]
"""Lateral inhibition: activations a (B, M) to (G - I) a (B, M)."""

MAX_ENERGY_RISE = 0.01
"""By this share of its whole descent the energy may rise in the last half of the steps: float32 rounding stays three
orders of magnitude below it, an oscillation passes it within a few steps."""


@dataclass(frozen=True)
class Dynamics:
    """What governs the recurrence: threshold lambda (> 0), time constant tau in steps (>= 1), number of steps K."""

    lambda_: float
    tau: float
    steps: int


@dataclass(frozen=True)
class Response:
    """What a batch of B images evoked: the code, and what every step is asked for.

    Attributes:
        code: a[K], (B, M).
        firing: neurons firing after each step, a[1] to a[K], (B, K) int32.
        energy: E(a[k]) - E(0) for k = 0 to K, (B, K + 1), in units of ||S||^2. Zero at k = 0.

    """

    code: Tensor
    firing: Tensor
    energy: Tensor


def soft_threshold(u: Tensor, lambda_: float) -> Tensor:
    """Activation a = T_lambda(u) = sign(u) max(|u| - lambda, 0), elementwise (Eq. 6)."""
    return torch.nn.functional.softshrink(u, lambda_)


def energy_above_silence(a: Tensor, b: Tensor, lateral: Tensor, lambda_: float) -> Tensor:
    """E(a) - E(0) of each image, (B,), from a, b and lateral = (G - I) a, all (B, M).

    ||S - Phi^T a||^2 / 2 - ||S||^2 / 2 = a.(G a) / 2 - a.b, so that neither S nor Phi is needed.
    """
    quadratic = (a * (0.5 * (lateral + a) - b)).sum(dim=1)
    return quadratic + lambda_ * a.abs().sum(dim=1)


def respond(b: Tensor, inhibition: Inhibition, dynamics: Dynamics) -> Response:
    """Run the K steps of the recurrence for a batch of driving inputs b (B, M), at K products with the Gramian.

    The result for an image depends on the other images of its batch by rounding alone.
    """
    batch, steps = len(b), dynamics.steps
    firing = torch.zeros((batch, steps), dtype=torch.int32, device=b.device)
    energy = torch.zeros((batch, steps + 1), dtype=b.dtype, device=b.device)
    u, a, lateral = torch.zeros_like(b), torch.zeros_like(b), torch.zeros_like(b)
    for k in range(steps):
        u += (b - u - lateral) / dynamics.tau
        a = soft_threshold(u, dynamics.lambda_)
        firing[:, k] = a.count_nonzero(dim=1)
        lateral = inhibition(a)
        energy[:, k + 1] = energy_above_silence(a, b, lateral, dynamics.lambda_)
    return Response(a, firing, energy)


def unstable(energy: Tensor) -> Tensor:
    """Which images' recurrences diverged or oscillated, (B,) bool, from their energies (B, K + 1).

    See the head of this module: a stable recurrence never raises the energy.
    """
    half = (energy.shape[1] - 1) // 2
    rise = energy[:, half:].diff(dim=1).clamp(min=0).sum(dim=1)
    descent = -energy.min(dim=1).values
    return ~((rise <= MAX_ENERGY_RISE * descent) & energy.isfinite().all(dim=1))
