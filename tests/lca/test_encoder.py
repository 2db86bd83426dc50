"""The one way to encode: what it takes, what it refuses, and what a code's bits depend on."""

from __future__ import annotations

import subprocess
import sys
from unittest import mock

import numpy as np
import pytest

from dseld_cli.errors import Diverged
from dseld_cli.lca import compiled, encoder, screening, working_set
from dseld_cli.lca.atoms import Atoms
from dseld_cli.lca.codes import SparseCodes
from dseld_cli.lca.encoder import Encoder, encode
from dseld_cli.lca.recurrence import LCAParams
from dseld_cli.runtime.engine import threads_per_operation
from tests.reference import lca_float64

PARAMS = LCAParams(2.0)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def problem(n_atoms=3000, n_features=80, n_images=23, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((8, n_features))
    rows = np.abs(
        centres[rng.integers(8, size=n_atoms + n_images)] + rng.standard_normal((n_atoms + n_images, n_features))
    )
    return 12 * unit(rows[n_atoms:]), unit(rows[:n_atoms])


def same_bits(found: SparseCodes, other: SparseCodes) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(vars(found).values(), vars(other).values(), strict=True))


@pytest.mark.parametrize("small", [0, 10**9])
def test_a_code_s_bits_depend_neither_on_its_batch_nor_on_threads_nor_on_where_the_atoms_are(small, monkeypatch):
    S, Phi = problem()
    with mock.patch.object(encoder, "SMALL", small):
        together = encode(S, Phi, PARAMS).codes
        alone = SparseCodes.concatenate([encode(S[i : i + 1], Phi, PARAMS).codes for i in range(len(S))])
        sketched = Encoder(Phi, PARAMS, images=1000, batch=5).encode(S).codes
        streamed = Atoms(Phi.shape, lambda: ((slice(i, i + 700), Phi[i : i + 700]) for i in range(0, 3000, 700)))
        read = Encoder(streamed, PARAMS).encode(S).codes
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        threads = encode(S, Phi, PARAMS).codes
    assert same_bits(together, alone)
    assert same_bits(together, sketched)
    assert small or same_bits(together, read), "the direct form multiplies block by block"
    assert same_bits(together, threads)


@pytest.mark.parametrize("method", ["working-set", "direct"])
def test_nothing_that_a_result_says_depends_on_the_number_of_threads(method, monkeypatch):
    S, Phi = problem(n_images=600)

    def by(threads):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        with mock.patch.object(working_set, "MAX_ROUNDS", 1), threads_per_operation(threads):
            return Encoder(Phi, PARAMS, method=method, images=600, batch=500).encode(S)

    one, three = by(1), by(3)
    assert method == "direct" or 0 < one.report.proved.sum() < len(S), "both ways are to be compared"
    assert same_bits(one.codes, three.codes)
    np.testing.assert_array_equal(one.energy, three.energy)
    for what in ("products", "reads", "proved", "working_set", "fired", "unstable"):
        np.testing.assert_array_equal(getattr(one.report, what), getattr(three.report, what), err_msg=what)


def test_small_problems_and_large_ones_give_the_same_codes():
    S, Phi = problem(600)
    with mock.patch.object(encoder, "SMALL", 10**9):
        small = encode(S, Phi, PARAMS)
    with mock.patch.object(encoder, "SMALL", 0):
        large = encode(S, Phi, PARAMS)
    assert large.report.proved.all()
    np.testing.assert_allclose(small.codes.to_scipy(600).toarray(), large.codes.to_scipy(600).toarray(), atol=1e-4)
    np.testing.assert_array_equal(small.codes.firing, large.codes.firing)


def test_an_encoder_that_has_seen_many_images_prepares_for_single_ones():
    S, Phi = problem()
    one_by_one = Encoder(Phi, PARAMS)
    with mock.patch.multiple(encoder, SMALL=0), mock.patch.object(screening, "WORTHWHILE", 4):
        one_by_one.small = False
        found = SparseCodes.concatenate([one_by_one.encode(S[i : i + 1]).codes for i in range(len(S))])
        assert same_bits(found, encode(S, Phi, PARAMS).codes)


def test_codes_as_a_scipy_matrix_and_in_parts():
    S, Phi = problem(200)
    codes = encode(S, Phi, PARAMS).codes
    true = lca_float64(S, Phi, 2.0, 100.0, 100).code
    np.testing.assert_allclose(codes.to_scipy(200).toarray(), true, atol=1e-4)
    assert same_bits(SparseCodes.concatenate([codes[:7], codes[7:7], codes[7:]]), codes)
    assert len(codes[3:5]) == 2


def test_no_images_have_no_codes():
    _, Phi = problem(200)
    result = encode(np.zeros((0, 80), np.float32), Phi, PARAMS)
    assert len(result.codes) == 0
    assert result.codes.firing.shape == (0, 100)


def test_divergence_is_named_with_a_tau_that_is_large_enough():
    S, Phi = np.full((2, 16), 5.0, np.float32), unit(np.ones((210, 16)))
    small = Encoder(Phi, LCAParams(1.0, 10.0, 60))
    result = small.encode(S)
    with pytest.raises(
        Diverged, match=r"2 of 2 images \(a, b\) at lambda 1, tau 10: .* raise tau \((\d+) is enough"
    ) as error:
        small.require_stable(result, S, ["a", "b"])
    tau = float(str(error.value).split("raise tau (")[1].split(" ")[0])
    stable = Encoder(Phi, LCAParams(1.0, tau, 60))
    stable.require_stable(stable.encode(S[:1]), S[:1], ["a"])


@pytest.mark.parametrize(
    ("atoms", "features", "said"),
    [
        (np.ones((3, 4)), np.ones((1, 4)), "atoms of unit L2 norm. Got 2 in row 0"),
        (np.eye(4)[0], np.ones((1, 4)), r"atoms of shape \(M, N\)"),
        (np.full((2, 2), np.nan), np.ones((1, 2)), "unit L2 norm. Got nan"),
        (np.eye(4), np.ones((1, 3)), r"features of shape \(B, 4\). Got \(1, 3\)"),
        (np.eye(4), np.ones(4), r"features of shape \(B, 4\)"),
        (np.eye(4), np.array([[1, 1, 1, 1], [1, np.nan, 1, 1]]), "finite features. Got others in row 1"),
        (np.eye(4), np.array([[1, 1, 1, np.inf]]), "finite features. Got others in row 0"),
    ],
)
def test_arrays_of_the_wrong_kind_are_refused(atoms, features, said):
    with pytest.raises(ValueError, match=said):
        encode(features, atoms, PARAMS)


@pytest.mark.parametrize(
    ("excluded", "said"), [([[4]], r"from 0 to 3. Got \[4\]"), ([[-1, 2]], "Got"), ([], "of 1 images")]
)
def test_excluded_atoms_that_are_none_are_refused(excluded, said):
    with pytest.raises(ValueError, match=said):
        encode(np.ones((1, 4), np.float32), np.eye(4, dtype=np.float32), PARAMS, [np.array(out) for out in excluded])


def test_methods_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"one of working-set, direct\. Got 'best'"):
        Encoder(np.eye(4, dtype=np.float32), PARAMS, method="best")


@pytest.mark.parametrize(
    "wrong",
    [
        {"lambda_": 0.0},
        {"lambda_": "x"},
        {"lambda_": 1.0, "tau": 0.5},
        {"lambda_": 1.0, "tau": "a"},
        {"lambda_": 1.0, "steps": 0},
        {"lambda_": 1.0, "steps": 1.5},
        {"lambda_": 1.0, "steps": "3"},
    ],
)
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="lambda > 0, tau >= 1 and whole steps >= 1"):
        LCAParams(**wrong)


@pytest.mark.parametrize(
    ("size", "loaded"), [("(40, 8)", set()), ("(3000, 40)", {"numba"})], ids=["small problem", "large problem"]
)
def test_torch_is_not_loaded_and_numba_with_the_first_large_problem(size, loaded):
    code = (
        "import sys, numpy as np\n"
        "from dseld_cli.lca.encoder import encode, LCAParams\n"
        f"atoms = np.random.default_rng(0).random({size}, np.float32)\n"
        "atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)\n"
        "encode(3 * atoms[:2], atoms, LCAParams(1.0))\n"
        "print(*{'torch', 'numba', 'zarr', 'sklearn'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(found.split()) == loaded


def test_kernels_are_compiled_without_a_cache_where_there_is_no_place_for_one(monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    with mock.patch("os.access", return_value=False), mock.patch("pathlib.Path.home", side_effect=RuntimeError):
        assert not compiled.has_place_for_cache()
    with (
        mock.patch("os.access", return_value=False),
        mock.patch("numba.core.caching._CacheLocator.ensure_cache_path", side_effect=OSError),
    ):
        assert compiled.compiled(lambda x: x + 1)(1) == 2
