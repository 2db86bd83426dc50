"""What a step does to every neuron of every image, compiled: one pass over memory instead of a dozen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca.compiled import compiled

Floats = NDArray[np.floating[Any]]
Int64 = NDArray[np.int64]


def of_few(messages: Floats, weights: NDArray[Any]) -> Floats:
    """Multiply messages (B, rows), of which few are other than zero, by weights (rows, columns): sums of those rows."""
    kind = messages.dtype if weights.dtype.kind == "i" else np.result_type(messages, weights)
    out = np.zeros((len(messages), weights.shape[1]), kind)
    _add_rows(messages, weights, out)
    return out


@compiled
def _add_rows(messages: Floats, weights: NDArray[Any], out: Floats) -> None:
    for i in range(messages.shape[0]):
        for j in range(messages.shape[1]):
            value = messages[i, j]
            if value != 0:
                for column in range(weights.shape[1]):
                    out[i, column] += value * weights[j, column]


@compiled
def integrate_and_fire(
    b: Floats,
    lateral: Floats,
    u: Floats,
    v: Floats,
    sent: Floats,
    counts: NDArray[np.int32],
    negative: NDArray[np.bool_],
    spikes: Int64,
    tau: float,
    lambda_: float,
    quantum: float,
    floor: bool,
) -> None:
    """Take one step of u, v (B, M); write what is sent, and count it per neuron and per image (B,)."""
    for i in range(b.shape[0]):
        fired = 0
        for j in range(b.shape[1]):
            u[i, j] += (b[i, j] - u[i, j] - lateral[i, j]) / tau
            above = v[i, j] + u[i, j] - lambda_
            if floor and above < 0:
                above *= 0
            sent[i, j] = 0
            if above >= quantum:
                sent[i, j] = quantum
                above -= quantum
                counts[i, j] += 1
                fired += 1
            v[i, j] = above
            if u[i, j] < -lambda_:
                negative[i, j] = True
        spikes[i] = fired


@compiled
def leak_and_integrate(
    v: Floats, delivered: Floats, a: Floats, fires: Int64, threshold: float, leak: float, unit: float, own: float
) -> float:
    """Take one step of integers v (B, M): write the activations a before it, and how many neurons they are (B,).

    Args:
        v: membrane potentials, changed.
        delivered: sums of weights times messages, in units of 1 / unit.
        a: written.
        fires: written.
        threshold: lambda.
        leak: factor.
        unit: power of two.
        own: what a neuron keeps of its own activation, a power of two or 0.

    Returns:
        the largest size of v.

    """
    peak = 0.0
    for i in range(v.shape[0]):
        fired = 0
        for j in range(v.shape[1]):
            before = v[i, j]
            active = 0.0
            if before > threshold:
                active = before - threshold
            elif before < -threshold:
                active = before + threshold
            a[i, j] = active
            if active != 0:
                fired += 1
            after = np.floor(before * leak) + np.floor(delivered[i, j] * unit) + np.floor(active * own)
            v[i, j] = after
            peak = max(peak, abs(after))
        fires[i] = fired
    return peak
