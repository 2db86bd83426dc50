"""Closed forms of the cost against operations counted one by one while the recurrence runs."""

import numpy as np
import pytest

from dseld_cli.evaluation.workload import PAPER_FEATURES, Workload, activation_sparsity, footprint, synaptic_operations


def counted(S: np.ndarray, Phi: np.ndarray, lambda_: float, tau: float, steps: int) -> tuple[int, int, np.ndarray]:
    """Multiplications of b and of inhibition that have no factor that is zero, and neurons firing a step (K,)."""
    m = len(Phi)
    G = Phi @ Phi.T - np.eye(m)
    b = Phi @ S
    driving = sum(np.count_nonzero(S) for _ in range(m))
    u, a, sent, firing = np.zeros(m), np.zeros(m), 0, []
    for _ in range(steps):
        sent += sum(m - 1 for value in a if value)
        u = u + (b - u - G @ a) / tau
        a = np.sign(u) * np.maximum(np.abs(u) - lambda_, 0)
        firing.append(np.count_nonzero(a))
    return driving, sent, np.array(firing, np.int32)


def test_synaptic_operations_are_those_that_the_recurrence_does() -> None:
    rng = np.random.default_rng(0)
    Phi = rng.standard_normal((20, 8))
    Phi /= np.linalg.norm(Phi, axis=1, keepdims=True)
    S = 3 * rng.standard_normal((5, 8)) * (rng.random((5, 8)) < 0.8)
    each = [counted(image, Phi, 0.5, 10, 12) for image in S]
    firing = np.stack([f for *_, f in each])
    found = synaptic_operations(np.count_nonzero(S, axis=1), firing, 20, 8)
    assert found["Effective_MACs"] == np.mean([driving + sent for driving, sent, _ in each])
    assert found["Effective_ACs"] == 0, "graded activations are never counted as spikes"
    assert found["Dense"] == 20 * 8 + 12 * 20 * 19
    assert activation_sparsity(firing, 20) == pytest.approx(1 - firing.mean() / 20)


def test_closed_form_with_a_constant_share_is_the_sum_over_steps() -> None:
    cost = Workload(50_000, 2048, 100, 0.004)
    assert cost.driving_input == 50_000 * 2048
    assert cost.inhibition == pytest.approx(sum(200 * 49_999 for _ in range(100)))
    assert cost.image == cost.driving_input + cost.inhibition + 100 * 50_000
    assert cost.figures()["image_gflop"] == pytest.approx(2 * cost.image / 1e9)


def test_the_gramian_of_50000_atoms_is_the_papers_10_gb() -> None:
    for features in PAPER_FEATURES.values():
        assert round(Workload(50_000, features, 100, 0.004).figures()["gramian_gb"]) == 10
    assert Workload(3, 5, 1, 1).dictionary == 5 * 6, "six pairs of three atoms, themselves included"


def test_footprint_is_what_the_arrays_take() -> None:
    arrays = [np.zeros((7, 3), np.float32), np.zeros(7, np.int64), np.zeros(7, np.float32), np.zeros(7, np.float32)]
    assert footprint(7, 3)["atoms"] == sum(array.nbytes for array in arrays)
    assert footprint(7, 3)["gramian"] == sum(array.nbytes for array in arrays) + np.zeros((7, 7), np.float32).nbytes
