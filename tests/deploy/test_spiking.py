"""Binary spikes: cases by hand, and the graded network that they approach."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from dseld_cli.deploy.footprint import energy, size
from dseld_cli.deploy.spiking import run_spiking
from dseld_cli.lca.recurrence import LCAParams
from tests.reference import lca_float64


def silent(a: np.ndarray) -> np.ndarray:
    return 0 * a


def test_a_neuron_alone_spikes_as_often_as_its_activation_asks() -> None:
    """u -> b = 3, a = 2: with Q 4 every second step, once it has settled."""
    found = run_spiking(np.array([[3.0]]), silent, LCAParams(1.0, 2.0, 200), 4.0)
    assert found.per_step[0, 100:].sum() == 50
    assert found.counts[0, 0] == found.per_step.sum()


def test_a_neuron_spikes_at_most_once_a_step() -> None:
    found = run_spiking(np.array([[9.0]]), silent, LCAParams(1.0, 1.0, 50), 0.1)
    assert (found.per_step == 1).all()


def test_without_a_floor_a_neuron_climbs_back_from_below_and_speaks_later() -> None:
    b = np.array([[2.0]])
    with_floor, without = (run_spiking(b, silent, LCAParams(1.0, 20.0, 100), 1.0, floor) for floor in (True, False))
    assert with_floor.per_step[0].argmax() < without.per_step[0].argmax()
    assert with_floor.counts.sum() > without.counts.sum()


def test_negative_activations_are_counted_and_stay_silent() -> None:
    found = run_spiking(np.array([[-5.0, 0.5, 5.0]]), silent, LCAParams(1.0, 10.0, 50), 1.0)
    assert found.negative.tolist() == [1]
    assert found.counts[0, 0] == 0 < found.counts[0, 2]


def test_spikes_average_to_the_converged_activation() -> None:
    """Over many steps, Q counts / K comes to the LASSO solution, to which the graded network converges."""
    pixels = load_digits().data / 16
    atoms = pixels[:100] / np.linalg.norm(pixels[:100], axis=1, keepdims=True)
    images = pixels[1000:1010]
    lateral = atoms @ atoms.T - np.eye(len(atoms))
    long = LCAParams(1.0, 100.0, 20_000)
    found = run_spiking(images @ atoms.T, lambda a: a @ lateral, long, quantum := 2.0)
    want = lca_float64(images, atoms, 1.0, 100.0, 20_000).code
    assert (want >= 0).all() and not found.negative.any()
    assert want.max() < quantum  # at most one spike a step
    assert np.abs((quantum * found.counts / long.steps - want) @ atoms).max() < 0.02
    assert found.operations() == pytest.approx(found.counts.sum(axis=1) * 99)


def test_counts_after_fewer_steps_are_those_of_a_run_of_so_many() -> None:
    b, lateral = np.random.default_rng(0).normal(2, 2, (3, 20)), 0.1 * np.ones((20, 20))
    long = run_spiking(b, lambda a: a @ lateral, LCAParams(1.0, 20.0, 90), 0.5, look=[30, 60, 90])
    for steps, counts in long.earlier.items():
        np.testing.assert_array_equal(
            counts, run_spiking(b, lambda a: a @ lateral, LCAParams(1.0, 20.0, steps), 0.5).counts
        )
    assert long.earlier.keys() == {30, 60, 90}
    assert (long.earlier[30] < long.counts).any()


def test_sizes_are_the_published_arithmetic() -> None:
    one, two = size("one-layer", 50_000, 2_048), size("two-layer", 50_000, 2_048)
    assert one.chips_by_synapses == 21 and one.synapses == pytest.approx(2.5e9, rel=1e-4)
    assert two.chips_by_synapses == 2 and two.synapses == 204_800_000 and two.neurons == 52_048
    assert one.chips_by_memory == pytest.approx(100, abs=1) and two.chips_by_memory == 9
    assert size("one-layer", 2_000_000, 10).chips_by_synapses > 30_000
    assert energy(1e9) == pytest.approx((0.0068, 0.0236))
