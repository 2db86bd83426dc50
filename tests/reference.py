"""The LCA recurrence as the paper prints it, in float64, one step after another: what encoders must agree with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Float64Response(NamedTuple):
    """What n images evoke: `code` a[K] (n, M), `firing` (n, K), `energy` E(a[k]) - E(0) for k = 0 to K (n, K + 1).

    `potential` is u[1] to u[K], (n, K, M): it tells a tie with the threshold from a mistake.
    """

    code: NDArray[np.float64]
    firing: NDArray[np.int64]
    energy: NDArray[np.float64]
    potential: NDArray[np.float64]


def lca_float64(S: NDArray, Phi: NDArray, lambda_: float, tau: float, steps: int) -> Float64Response:
    """Iterate u[k+1] = u[k] + (b - u[k] - (G - I) a[k]) / tau from u[0] = 0 for images S (n, N), atoms Phi (M, N)."""
    S, Phi = np.asarray(S, np.float64), np.asarray(Phi, np.float64)
    b = S @ Phi.T
    lateral = Phi @ Phi.T - np.eye(len(Phi))
    u, a = np.zeros_like(b), np.zeros_like(b)
    energy, potential = [np.zeros(len(S))], []
    with np.errstate(all="ignore"):
        for _ in range(steps):
            u = u + (b - u - a @ lateral) / tau
            a = np.sign(u) * np.maximum(np.abs(u) - lambda_, 0)
            explained = a @ Phi
            fit = 0.5 * (explained**2).sum(1) - (a * b).sum(1)  # ||S - Phi^T a||^2 / 2 - ||S||^2 / 2
            energy.append(fit + lambda_ * np.abs(a).sum(1))
            potential.append(u)
    firing = np.stack([(np.abs(u) > lambda_).sum(1) for u in potential], 1)
    return Float64Response(a, firing, np.stack(energy, 1), np.stack(potential, 1))
