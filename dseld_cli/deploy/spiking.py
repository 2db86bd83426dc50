"""The network with binary spikes, for hardware without graded ones: integrate-and-fire neurons, counts as the code.

The membrane potential u is that of `lca.recurrence`, save that a neuron inhibits others by spikes instead of by its
activation. What u has above lambda is added up in v; at v >= Q a spike is sent that is worth Q, and v loses Q (reset by
subtraction: by zero, up to 0.8 points are lost). So spikes of a neuron are worth its activation on average, as
long as that stays below Q: at most one spike a step.

One-sided: a neuron that the graded network drives below -lambda stays silent here, and is counted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli.deploy import kernels
from dseld_cli.lca.recurrence import Inhibition, LCAParams


@dataclass(frozen=True)
class Spikes:
    """What B images evoke.

    Attributes:
        counts: spikes of each neuron over all steps, (B, M).
        per_step: spikes of all neurons at each step, (B, K).
        negative: neurons that a two-sided network would have fired with a negative sign, (B,).
        earlier: counts after fewer steps, by their number, where they were asked for.

    """

    counts: NDArray[np.int32]
    per_step: NDArray[np.int64]
    negative: NDArray[np.int64]
    earlier: Mapping[int, NDArray[np.int32]] = field(default_factory=dict)

    def operations(self) -> NDArray[np.float64]:
        """Count synaptic operations over all steps in one layer, (B,): each spike meets M - 1 weights."""
        return np.asarray(self.per_step.sum(axis=1) * (self.counts.shape[1] - 1), np.float64)


def run_spiking(
    b: NDArray[np.floating[Any]],
    inhibition: Inhibition,
    params: LCAParams,
    quantum: float,
    floor: bool = True,
    look: Collection[int] = (),
) -> Spikes:
    """Run K steps for driving inputs b (B, M).

    Args:
        b: driving input.
        inhibition: what activations (B, M) cause, (G - I) a.
        params: lambda, tau, steps.
        quantum: Q, what a spike is worth, in units of the activation.
        floor: whether v stays at or above zero; without, as NIR's IF neurons, it has to climb back from below.
        look: after which steps counts are kept, too.

    """
    u, v, sent = np.zeros_like(b), np.zeros_like(b), np.zeros_like(b)
    counts = np.zeros(b.shape, np.int32)
    negative = np.zeros(b.shape, np.bool_)
    per_step, earlier = np.zeros((params.steps, len(b)), np.int64), {}
    for k in range(params.steps):
        kernels.integrate_and_fire(
            b, inhibition(sent), u, v, sent, counts, negative, per_step[k], params.tau, params.lambda_, quantum, floor
        )
        if k + 1 in look:
            earlier[k + 1] = counts.copy()
    return Spikes(counts, np.ascontiguousarray(per_step.T), negative.sum(axis=1), earlier)
