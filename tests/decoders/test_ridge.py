"""Ridge regression towards class-sum: against scikit-learn's, at its two ends, and where it has nothing to go by."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge as Peer
from typer.testing import CliRunner

from dseld_cli.cli.app import app
from dseld_cli.decoders.base import Given
from dseld_cli.decoders.class_sum import ClassSum
from dseld_cli.decoders.registry import decoder
from dseld_cli.decoders.ridge import PRIOR, Ridge
from dseld_cli.errors import UserError
from dseld_cli.lca.codes import SparseCodes
from tests.decoders.test_decoders import sparse
from tests.decoders.test_shallow_nn import accuracy, problem


def weights(codes: SparseCodes, truth: np.ndarray, labels: np.ndarray, penalty: float = 3.0) -> np.ndarray:
    return np.asarray(Ridge(penalty).train(codes, truth, Given(labels, 3), 0).learned["weights"])


def scores(codes: SparseCodes, learned: np.ndarray) -> np.ndarray:
    given = Given(np.zeros(len(learned), np.int64), learned.shape[1], learned={"weights": learned})
    return Ridge().scores(codes, given)


@pytest.mark.parametrize("penalty", [0.1, 3.0, 100.0])
@pytest.mark.parametrize("n", [1, 10, 300])  # fewer images than atoms, and more
def test_weights_are_scikit_learns_about_class_sum(n: int, penalty: float) -> None:
    codes, dense, truth, labels = problem(n, 0)
    F, prior = dense / np.linalg.norm(dense, axis=1, keepdims=True), PRIOR * np.eye(3)[labels]
    peer = Peer(alpha=penalty, fit_intercept=False).fit(F, np.eye(3)[truth] - F @ prior)
    np.testing.assert_allclose(weights(codes, truth, labels, penalty), prior + peer.coef_.T, atol=1e-4)


def test_scores_are_unit_codes_times_weights_and_nothing_where_no_neuron_fires() -> None:
    codes, dense, _, _ = problem(7, 0)
    learned = np.random.default_rng(0).standard_normal((30, 3)).astype(np.float32)
    F = dense / np.linalg.norm(dense, axis=1, keepdims=True)
    np.testing.assert_allclose(scores(codes, learned), F @ learned, atol=1e-5)
    assert not scores(sparse(np.zeros((2, 30))), learned).any()


def test_a_large_penalty_is_class_sum() -> None:
    codes, _, truth, labels = problem(300, 0, mislabelled=5)
    new, _, _, _ = problem(200, 1)
    held = scores(new, weights(codes, truth, labels, 1e9)).argmax(axis=1)
    np.testing.assert_array_equal(held, ClassSum().scores(new, Given(labels, 3)).argmax(axis=1))


def test_it_repairs_what_class_sum_gets_wrong_and_stays_close_where_it_knows_little() -> None:
    new, _, new_truth, _ = problem(1000, 1)
    for n, mislabelled, gain in ((1500, 12, 0.1), (150, 0, -0.02)):
        codes, _, truth, labels = problem(n, 0, mislabelled)
        before = accuracy(ClassSum().scores(new, Given(labels, 3)), new_truth)
        assert accuracy(scores(new, weights(codes, truth, labels)), new_truth) > before + gain


@pytest.mark.parametrize("penalty", ["0", "-1", "nan", "inf"])
def test_a_penalty_that_is_none_is_refused(penalty: str) -> None:
    with pytest.raises(UserError, match=r"penalty should be (positive|a finite)"):
        decoder("ridge", {"penalty": penalty})


def test_a_penalty_out_of_all_range_is_refused(
    quickstart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(quickstart, tmp_path / "x")
    monkeypatch.chdir(tmp_path / "x")
    for penalty in ("1e308", "1e400", "nan", "-inf"):
        done = CliRunner().invoke(app, ["train-decoder", "--decoder", "ridge", "--option", f"penalty={penalty}"])
        assert done.exit_code == 2, (penalty, done.output)
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not Path("data/decoders/ridge.zarr").exists()
