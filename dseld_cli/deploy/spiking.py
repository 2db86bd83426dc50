"""The network with binary spikes, for hardware without graded ones: integrate-and-fire neurons, counts as the code.

The membrane potential u is that of `lca.recurrence`, save that a neuron inhibits others by spikes instead of by its
activation. What u has above lambda is added up in v; at v >= Q a spike is sent that is worth Q, and v loses Q (reset by
subtraction: by zero, up to 0.8 points are lost). So spikes of a neuron are worth its activation on average, as
long as that stays below Q: at most one spike a step.

One-sided: a neuron that the graded network drives below -lambda stays silent here, and is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca.recurrence import Inhibition, LCAParams


@dataclass(frozen=True)
class Spikes:
    """What B images evoke.

    Attributes:
        counts: spikes of each neuron over all steps, (B, M).
        per_step: spikes of all neurons at each step, (B, K).
        negative: neurons that a two-sided network would have fired with a negative sign, (B,).

    """

    counts: NDArray[np.int32]
    per_step: NDArray[np.int64]
    negative: NDArray[np.int64]

    def operations(self) -> NDArray[np.float64]:
        """Count synaptic operations over all steps in one layer, (B,): each spike meets M - 1 weights."""
        return np.asarray(self.per_step.sum(axis=1) * (self.counts.shape[1] - 1), np.float64)


def run_spiking(
    b: NDArray[np.floating], inhibition: Inhibition, params: LCAParams, quantum: float, floor: bool = True
) -> Spikes:
    """Run K steps for driving inputs b (B, M).

    Args:
        b: driving input.
        inhibition: what activations (B, M) cause, (G - I) a.
        params: lambda, tau, steps.
        quantum: Q, what a spike is worth, in units of the activation.
        floor: whether v stays at or above zero; without, as NIR's IF neurons, it has to climb back from below.

    """
    u, v, sent = np.zeros_like(b), np.zeros_like(b), np.zeros_like(b)
    counts = np.zeros(b.shape, np.int32)
    negative = np.zeros(b.shape, np.bool_)
    per_step = np.zeros((len(b), params.steps), np.int64)
    for k in range(params.steps):
        u += (b - u - inhibition(sent)) / params.tau
        v += u - params.lambda_
        if floor:
            np.maximum(v, 0, out=v)
        fires = v >= quantum
        sent = quantum * fires.astype(b.dtype)
        v -= sent
        counts += fires
        negative |= u < -params.lambda_
        per_step[:, k] = fires.sum(axis=1)
    return Spikes(counts, per_step, negative.sum(axis=1))
