"""Closed forms of the cost against operations counted one by one while the recurrence runs."""

import numpy as np
import pytest

from dseld_cli.evaluation import paper
from dseld_cli.evaluation.workload import Workload, activation_sparsity, footprint, synaptic_operations


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


def test_eq_11_with_a_constant_share_is_the_sum_over_steps() -> None:
    """Additions and multiplications, counted as for one neuron at a time."""
    m, n, steps, firing = 50, 7, 10, 5
    cost = Workload(m, n, steps, firing / m)
    assert cost.driving_input == m * (n + n - 1)
    assert cost.inhibition == pytest.approx(sum(m * 2 * firing for _ in range(steps)))
    assert cost.image == pytest.approx(m * (2 * n - 1) + steps * (2 * m * firing + m))
    assert Workload(3, 5, 1, 1).dictionary == 6 * (5 + 4), "six pairs of three atoms, themselves included"


@pytest.mark.parametrize("row", paper.COST, ids=lambda row: row.extractor)
def test_table_4_of_the_paper_to_the_digit(row: paper.Cost) -> None:
    found = {
        "training": paper.training_flops(row.features) / 1e12,
        paper.STEPS: paper.flops(row.features) / 1e9,
        paper.FEW_STEPS: paper.flops(row.features, paper.FEW_STEPS) / 1e9,
    }
    theirs = {"training": row.training, paper.STEPS: row.image, paper.FEW_STEPS: row.image_few}
    for key, value in found.items():
        if (row.extractor, key) in paper.CUT:
            assert str(int(100 * value) / 100) == theirs[key] != paper.printed(value)
        else:
            assert paper.printed(value) == theirs[key]


def test_on_average_84_percent_less_at_ten_steps() -> None:
    saved = [1 - paper.flops(row.features, paper.FEW_STEPS) / paper.flops(row.features) for row in paper.COST]
    assert round(100 * np.mean(saved)) in (83, 84)


def test_footprint_is_what_the_arrays_take() -> None:
    arrays = [np.zeros((7, 3), np.float32), np.zeros(7, np.int64), np.zeros(7, np.float32), np.zeros(7, np.float32)]
    assert footprint(7, 3)["atoms"] == sum(array.nbytes for array in arrays)
    assert footprint(7, 3)["gramian"] == sum(array.nbytes for array in arrays) + np.zeros((7, 7), np.float32).nbytes
