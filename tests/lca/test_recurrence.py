"""The recurrence against a float64 transcription, closed forms, and scikit-learn's LASSO."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.decomposition import sparse_encode

from dseld_cli.lca.inhibition import driving_input, through_atoms, through_gramian
from dseld_cli.lca.recurrence import LCAParams, Response, run_lca, soft_threshold, unstable
from tests.reference import lca_float64


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def encode(S: np.ndarray, atoms: np.ndarray, d: LCAParams, inhibition: str = "atoms", cut: int = 37) -> Response:
    """Run `run_lca` with the atoms, or the Gramian, handed over in ragged blocks of `cut`."""
    phi = np.asarray(atoms, np.float32)
    cuts = [slice(i, min(i + cut, len(phi))) for i in range(0, len(phi), cut)]
    blocks = lambda: [(rows, phi[rows]) for rows in cuts]  # noqa: E731
    G = phi @ phi.T
    tiles = lambda: [(r, c, G[r, c]) for i, r in enumerate(cuts) for c in cuts[: i + 1]]  # noqa: E731
    through = through_atoms(blocks, phi.shape[1]) if inhibition == "atoms" else through_gramian(tiles)
    return run_lca(driving_input(np.asarray(S, np.float32), blocks, len(phi)), through, d)


def problem(seed: int, n: int = 6, m: int = 120, features: int = 30, positive: bool = True) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    draw = rng.random if positive else rng.standard_normal
    return 3 * draw((n, features)), unit(draw((m, features)))


def assert_agrees(found: Response, S: np.ndarray, atoms: np.ndarray, d: LCAParams) -> None:
    """Values within 1e-4 of the float64 recurrence, and the same support save for ties within 1e-4 of lambda."""
    true = lca_float64(S, atoms, d.lambda_, d.tau, d.steps)
    np.testing.assert_allclose(found.code, true.code, rtol=0, atol=1e-4)
    differs = (found.code != 0) != (true.code != 0)
    tie = np.abs(np.abs(true.potential[:, -1]) - d.lambda_) < 1e-4
    assert not (differs & ~tie).any()
    # energy is a small difference of large terms where many atoms are alike: what is rounded are the terms
    a = np.abs(soft_threshold(true.potential, d.lambda_))  # (n, K, M)
    terms = (
        (a * np.abs(S @ atoms.T)[:, None]).sum(-1) + np.square(a @ np.abs(atoms)).sum(-1) / 2 + d.lambda_ * a.sum(-1)
    )
    np.testing.assert_allclose(found.energy, true.energy, rtol=0, atol=1e-5 * (terms.max() + 1))


@pytest.mark.parametrize("inhibition", ["atoms", "gramian"])
@pytest.mark.parametrize("positive", [True, False])
def test_recurrence_is_the_float64_one(inhibition: str, positive: bool) -> None:
    S, atoms = problem(0, positive=positive)
    d = LCAParams(0.7, 60, 100)
    assert_agrees(encode(S, atoms, d, inhibition), S, atoms, d)


@settings(max_examples=40, deadline=None)
@example(seed=138315, m=49, features=1, lambda_=4.4194, tau=47.158, steps=62, positive=False, cut=1)  # all atoms alike
@given(
    seed=st.integers(0, 2**20),
    m=st.integers(1, 60),
    features=st.integers(1, 40),
    lambda_=st.floats(0.05, 5),
    tau=st.floats(40, 300),
    steps=st.integers(1, 80),
    positive=st.booleans(),
    cut=st.integers(1, 70),
)
def test_recurrence_is_the_float64_one_for_any_problem(
    seed: int, m: int, features: int, lambda_: float, tau: float, steps: int, positive: bool, cut: int
) -> None:
    S, atoms = problem(seed, n=3, m=m, features=features, positive=positive)
    d = LCAParams(lambda_, tau, steps)  # m < 2 tau: stable whatever the atoms
    assert_agrees(encode(S, atoms, d, "atoms", cut), S, atoms, d)
    assert_agrees(encode(S, atoms, d, "gramian", cut), S, atoms, d)


def test_one_step_is_the_thresholded_share_of_the_driving_input() -> None:
    S, atoms = problem(1)
    code = encode(100 * S, atoms, LCAParams(2, 100, 1)).code
    expected = soft_threshold(100 * S @ atoms.T / 100, 2)
    np.testing.assert_allclose(code, expected, atol=1e-5)


def test_orthonormal_atoms_do_not_inhibit_each_other() -> None:
    """Then each neuron is alone: u[K] = (1 - (1 - 1/tau)^K) b."""
    S = np.array([[3.0, -2.0, 0.5, 0.0]])
    code = encode(S, np.eye(4), LCAParams(1, 20, 50)).code
    charged = (1 - (1 - 1 / 20) ** 50) * S
    np.testing.assert_allclose(code, np.sign(S) * np.maximum(np.abs(charged) - 1, 0), atol=1e-6)


def test_of_two_competing_atoms_the_nearer_silences_the_other() -> None:
    """At rest the nearer one explains the input, a_0 = ||S|| - lambda, and holds the other below lambda."""
    c = 0.9
    atoms = np.array([[1, 0], [c, np.sqrt(1 - c**2)]])
    code = encode(np.array([[4.0, 0.0]]), atoms, LCAParams(1, 20, 4000)).code
    np.testing.assert_allclose(code, [[3, 0]], atol=1e-5)


def test_two_atoms_that_share_the_input_rest_at_the_solution_of_their_equations() -> None:
    """Both firing: (G a)_i = b_i - lambda, so a = G^-1 (b - lambda)."""
    c = 0.5
    atoms = np.array([[1, 0], [c, np.sqrt(1 - c**2)]])
    S = 3 * (atoms[0] + atoms[1])[None]
    expected = np.linalg.solve(atoms @ atoms.T, atoms @ S[0] - 1)
    code = encode(S, atoms, LCAParams(1, 20, 4000)).code
    np.testing.assert_allclose(code[0], expected, atol=1e-5)


def test_a_negative_input_is_coded_with_negative_activations() -> None:
    S, atoms = problem(2, positive=False)
    d = LCAParams(0.5, 50, 80)
    np.testing.assert_allclose(encode(-S, atoms, d).code, -encode(S, atoms, d).code, rtol=1e-6, atol=1e-6)
    assert (encode(S, atoms, d).code < 0).any()


@pytest.mark.parametrize("positive", [True, False])
def test_many_time_constants_reach_the_lasso_solution(positive: bool) -> None:
    S, atoms = problem(3, m=60, features=80, positive=positive)
    tau = 30
    code = encode(S, atoms, LCAParams(0.6, tau, 400 * tau)).code
    lasso = sparse_encode(
        S.astype(np.float64), atoms.astype(np.float64), algorithm="lasso_cd", alpha=0.6, max_iter=20000
    )
    np.testing.assert_allclose(code, lasso, atol=2e-4)
    assert (lasso < 0).any() or positive


def test_result_does_not_depend_on_the_batch() -> None:
    S, atoms = problem(4, n=9)
    d = LCAParams(0.7, 60, 100)
    together = encode(S, atoms, d).code
    alone = np.concatenate([encode(S[i : i + 1], atoms, d).code for i in range(len(S))])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


def test_firing_counts_are_those_of_the_float64_recurrence() -> None:
    S, atoms = problem(5)
    d = LCAParams(0.7, 60, 100)
    true = lca_float64(S, atoms, d.lambda_, d.tau, d.steps)
    near = (np.abs(np.abs(true.potential) - d.lambda_) < 1e-4).sum(2)  # ties may fall either way
    assert (np.abs(encode(S, atoms, d).firing - true.firing) <= near).all()


def test_all_zero_input_has_an_empty_code() -> None:
    _, atoms = problem(6)
    response = encode(np.zeros((1, 30)), atoms, LCAParams(0.1, 60, 50))
    assert np.count_nonzero(response.code) == 0
    assert not unstable(response.energy).any()


@pytest.mark.parametrize(("count", "tau", "expected"), [(210, 100, True), (199, 100, False), (210, 106, False)])
def test_identical_atoms_oscillate_just_where_theory_says(count: int, tau: float, expected: bool) -> None:
    """`count` identical atoms firing together have lambda_max(G) = count; the Euler step needs it below 2 tau."""
    atoms = unit(np.ones((count, 16)))
    response = encode(np.full((2, 16), 0.9), atoms, LCAParams(0.5, tau, 400))
    assert unstable(response.energy).tolist() == [expected] * 2


def test_strongly_correlated_atoms_diverge_and_are_reported() -> None:
    rng = np.random.default_rng(0)
    atoms = unit(1 + 0.4 * rng.random((1500, 40)))  # mean cosine 0.99: lambda_max(G) about 1490, far above 2 tau
    S = 10 * (1 + 0.4 * rng.random((3, 40)))
    assert unstable(encode(S, atoms, LCAParams(1, 100, 100)).energy).all()
    assert not unstable(encode(S, atoms, LCAParams(1, 800, 100)).energy).any()


def test_not_a_number_counts_as_unstable() -> None:
    assert unstable(np.array([[0.0, -1.0, float("nan")], [0.0, -1.0, -2.0]])).tolist() == [True, False]


def test_an_overshoot_that_dies_out_is_no_oscillation() -> None:
    """Energies as they come: an onset that rises once and settles; the same rise over and over; a rise at the end."""
    settles = [0.0, -5, -4, -6, -7, -7.5, -7.8, -7.9, -8]
    goes_on = [0.0, -5, -4, -5, -4, -5, -4, -5, -4]
    grows = [0.0, -5, -6, -7, -7, -6, -3, 2, 20]
    assert unstable(np.array([settles, goes_on, grows])).tolist() == [False, True, True]
