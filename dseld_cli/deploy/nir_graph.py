"""The spiking network as a graph of the Neuromorphic Intermediate Representation (NIR, Pedersen et al. 2024).

    input (N + 1) -> drive -> neurons <-> inhibition, neurons -> output

The synapses of a CubaLIF neuron are the membrane potential u of `spiking`, its membrane adds up what u has above
lambda, its threshold is Q. Lambda comes in as one more input, of weight -lambda: u is a low-pass filter of its input,
and an input of tau at the first step and 1 afterwards is a constant behind it. The membrane leaks a billionth a step,
as NIR has no neuron with a synapse and without a leak. What NIR cannot say, a reader has to be told: the time step, and
that a spike subtracts the threshold instead of resetting to zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

DT = 2.0**-13
"""Seconds per step: like the next, a power of two, which float32 holds exactly."""
STEPS_OF_LEAK = 2.0**30
"""Time constant of the membrane in steps."""
MOST_ATOMS = 5000
"""Atoms up to which inhibition, M^2 float32 weights, makes a file of 100 MB."""


def graph(atoms: NDArray[np.float32], lambda_: float, tau: float, quantum: float) -> Any:
    """Make the network over unit-norm atoms (M, N), a NIRGraph.

    Raises:
        ImportError: if the package nir is not installed.

    """
    import nir

    m, n = atoms.shape

    def alike(value: float) -> NDArray[np.float32]:
        return np.full(m, value, np.float32)

    inhibition = -quantum * (atoms @ atoms.T)
    np.fill_diagonal(inhibition, 0)
    nodes = {
        "input": nir.Input(input_type={"input": np.array([n + 1])}),
        "drive": nir.Linear(weight=np.hstack([atoms, alike(-lambda_)[:, None]])),
        "neurons": nir.CubaLIF(
            tau_syn=alike(tau * DT),
            tau_mem=alike(STEPS_OF_LEAK * DT),
            r=alike(STEPS_OF_LEAK),
            v_leak=alike(0),
            v_threshold=alike(quantum),
        ),
        "inhibition": nir.Linear(weight=inhibition),
        "output": nir.Output(output_type={"output": np.array([m])}),
    }
    edges = [
        ("input", "drive"),
        ("drive", "neurons"),
        ("neurons", "inhibition"),
        ("inhibition", "neurons"),
        ("neurons", "output"),
    ]
    return nir.NIRGraph(nodes=nodes, edges=edges)
