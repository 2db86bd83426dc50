"""The shallow network: a linear layer on sparse rows, and training that never ends up below where it starts."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from dseld_cli.decoders.base import Given
from dseld_cli.decoders.class_sum import ClassSum
from dseld_cli.decoders.shallow_nn import ShallowNN
from dseld_cli.lca.codes import SparseCodes
from tests.decoders.test_decoders import sparse


def problem(n: int, seed: int, mislabelled: int = 0) -> tuple[SparseCodes, np.ndarray, np.ndarray, np.ndarray]:
    """Codes (n) over 30 atoms of 3 classes in which the image's class fires most; the first atoms' labels are wrong."""
    rng = np.random.default_rng(seed)
    labels = np.arange(30) % 3
    truth = rng.integers(0, 3, n)
    fires = rng.random((n, 30)) < np.where(labels == truth[:, None], 0.5, 0.2)
    code = (rng.random((n, 30)) * fires).astype(np.float32)
    code[:, 29] = 0.01
    labels[:mislabelled] = (labels[:mislabelled] + 1) % 3
    return sparse(code), code, truth, labels


def trained(codes: SparseCodes, truth: np.ndarray, labels: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    return dict(ShallowNN().train(codes, truth, Given(labels, 3), seed).learned)


def scores(codes: SparseCodes, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    given = Given(np.zeros(len(weights), np.int64), len(bias), learned={"weights": weights, "bias": bias})
    return ShallowNN().scores(codes, given)


def accuracy(scores: np.ndarray, truth: np.ndarray) -> float:
    return float((scores.argmax(1) == truth).mean())


def test_it_is_a_softmax_of_a_linear_layer_on_unit_codes() -> None:
    codes, dense, _, _ = problem(7, 0)
    rng = np.random.default_rng(1)
    weights, bias = rng.standard_normal((30, 3)).astype(np.float32), rng.standard_normal(3).astype(np.float32)
    logits = dense / np.linalg.norm(dense, axis=1, keepdims=True) @ weights + bias
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(scores(codes, weights, bias), expected, atol=1e-5)


def test_an_image_for_which_no_neuron_fires_gets_no_score() -> None:
    silent = scores(sparse(np.zeros((2, 4))), np.ones((4, 2), np.float32), np.ones(2, np.float32))
    assert not silent.any()


def test_training_repairs_what_class_sum_gets_wrong() -> None:
    codes, dense, truth, labels = problem(1500, 0, mislabelled=12)
    new, new_dense, new_truth, _ = problem(1000, 1)
    before = accuracy(ClassSum().scores(new, Given(labels, 3)), new_truth)
    after = accuracy(scores(new, **trained(codes, truth, labels)), new_truth)
    peer = LogisticRegression(max_iter=1000).fit(dense, truth).score(new_dense, new_truth)
    assert after > before + 0.1
    assert after > peer - 0.02


def test_with_few_images_to_learn_from_it_stays_close_to_class_sum() -> None:
    codes, _, truth, labels = problem(40, 0)
    new, _, new_truth, _ = problem(1000, 1)
    floor = accuracy(ClassSum().scores(new, Given(labels, 3)), new_truth)
    assert accuracy(scores(new, **trained(codes, truth, labels)), new_truth) > floor - 0.02


@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_gives_the_same_network(seed: int) -> None:
    codes, _, truth, labels = problem(300, 0, mislabelled=5)
    first, again = (trained(codes, truth, labels, seed) for _ in range(2))
    np.testing.assert_array_equal(first["weights"], again["weights"])
    other = trained(codes, truth, labels, seed + 1)
    assert not np.array_equal(first["weights"], other["weights"])
