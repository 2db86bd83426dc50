"""The recurrence in simulators that know nothing of ours: NEST (one layer) and Nengo (two layers), in float64.

Neither is among the project's dependencies: pip install nest-simulator==3.10.0 nengo==4.1.0
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.reference import lca_float64

LAMBDA, TAU, STEPS = 1.0, 100.0, 100
IMAGES = 4
CLOSE = 1e-12


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Atoms (M, N), images (B, N), and the codes (B, M) that are wanted."""
    pixels = load_digits().data / 16
    atoms = pixels[:100] / np.linalg.norm(pixels[:100], axis=1, keepdims=True)
    images = pixels[1000 : 1000 + IMAGES]
    return atoms, images, lca_float64(images, atoms, LAMBDA, TAU, STEPS).code


def test_nengo_gives_the_same_codes(digits: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    nengo = pytest.importorskip("nengo", reason="Nengo is not installed (see this file's head)")
    atoms, images, want = digits

    class LCA(nengo.neurons.NeuronType):
        """A leaky integrator with a soft threshold, which sends its activation."""

        negative, spiking = True, False
        state = {"voltage": nengo.dists.Choice([0])}  # noqa: RUF012 - Nengo's way

        def rates(self, x, gain, bias):  # which Nengo asks for when it prepares decoders, that nobody reads here
            return np.maximum(self.current(x, gain, bias) - LAMBDA, 0)

        def max_rates_intercepts(self, gain, bias):
            return gain, bias

        def step(self, dt, J, output, voltage):
            voltage += (J + output - voltage) / TAU
            output[...] = np.sign(voltage) * np.maximum(np.abs(voltage) - LAMBDA, 0)

    for image, code in zip(images, want, strict=True):
        with nengo.Network(seed=0) as network:
            residual = nengo.Node(lambda t, explained, S=image: S - explained, size_in=atoms.shape[1])
            m = len(atoms)
            layer = nengo.Ensemble(m, 1, neuron_type=LCA(), gain=np.ones(m), bias=np.zeros(m))
            nengo.Connection(layer.neurons, residual, transform=atoms.T, synapse=0)
            nengo.Connection(residual, layer.neurons, transform=atoms, synapse=None)
            probe = nengo.Probe(layer.neurons)
        with nengo.Simulator(network, progress_bar=False) as simulator:
            simulator.run_steps(STEPS, progress_bar=False)
            np.testing.assert_allclose(simulator.data[probe][-1], code, rtol=0, atol=CLOSE)


def test_nest_gives_the_same_codes(digits: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    nest = pytest.importorskip("nest", reason="NEST is not installed (see this file's head)")
    atoms, images, want = digits
    assert (want >= 0).all()  # its threshold-linear neurons are one-sided
    lateral = atoms @ atoms.T - np.eye(len(atoms))
    nest.verbosity = nest.VerbosityLevel.ERROR
    for image, code in zip(images, want, strict=True):
        nest.ResetKernel()
        nest.SetKernelStatus(
            {"resolution": 1.0, "use_wfr": True, "wfr_tol": 1e-12, "wfr_comm_interval": 1.0, "wfr_max_iterations": 100}
        )
        step = -1 / np.log(1 - 1 / TAU)  # NEST's step is exponential
        shared = {"tau": step, "theta": LAMBDA, "sigma": 0.0, "linear_summation": False, "g": 1.0}
        layer = nest.Create("threshold_lin_rate_ipn", len(atoms), params=shared)
        layer.mu = list(atoms @ image)
        how = {"synapse_model": "rate_connection_instantaneous", "weight": -lateral}
        nest.Connect(layer, layer, "all_to_all", how)
        nest.Simulate(float(STEPS))
        found = np.maximum(np.array(layer.rate) - LAMBDA, 0)  # what NEST calls the rate is u
        np.testing.assert_allclose(found, code, rtol=0, atol=CLOSE)
