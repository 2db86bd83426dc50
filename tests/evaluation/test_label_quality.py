"""Label quality: regression on all others is what refitting without each gives; weights are those of the labels."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from dseld_cli.evaluation.label_quality import MOST, label_quality, regressed, weights


def classes(n: int, n_features: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of three classes that overlap, and which is whose."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    features = rng.gamma(1.0, 1.0, (3, n_features))[labels] + rng.standard_exponential((n, n_features))
    return features.astype(np.float32), labels


@pytest.mark.parametrize(("n", "n_features"), [(40, 6), (12, 30)])
def test_regression_on_all_other_images_is_what_scikit_learn_fits_without_each(n: int, n_features: int) -> None:
    features, labels = classes(n, n_features, seed=n)
    blocks = [(slice(0, 7), features[:7]), (slice(7, n), features[7:])]
    found = regressed(lambda: iter(blocks), labels, 3)
    wanted, penalty = np.eye(3)[labels], n * features.astype(np.float64).var(axis=0).mean()
    for i in range(n):
        rest = np.delete(np.arange(n), i)
        ridge = Ridge(alpha=penalty, solver="svd").fit(features[rest].astype(np.float64), wanted[rest])
        np.testing.assert_allclose(found[i], ridge.predict(features[i : i + 1])[0], atol=1e-5)


def test_features_that_do_not_vary_say_how_frequent_the_other_classes_are() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    found = regressed(lambda: [(slice(0, 5), np.ones((5, 4), np.float32))], labels, 2)
    np.testing.assert_allclose(found, [[1 / 4, 3 / 4]] * 2 + [[2 / 4, 2 / 4]] * 3, atol=1e-6)


def test_weights_are_those_that_labels_were_drawn_by() -> None:
    rng = np.random.default_rng(0)
    one, other, noise = rng.standard_normal((3, 20_000, 4)).astype(np.float32)
    odds = np.exp(3 * one + 1.5 * other)
    labels = (rng.random(len(odds))[:, None] * odds.sum(axis=1, keepdims=True) > odds.cumsum(axis=1)).sum(axis=1)
    found = weights((one, other, noise), labels)
    assert found == pytest.approx([3, 1.5, 0], abs=0.1)
    assert weights((one, -other), labels)[1] == 0, "it is never believed in reverse"


def test_quality_is_a_probability_that_is_lowest_where_all_witnesses_speak_against_the_label() -> None:
    labels = np.tile([0, 1], 50)
    for_it = np.eye(2, dtype=np.float32)[labels]
    for_it[[3, 8]] = for_it[[3, 8], ::-1]
    half_sure = np.full((100, 2), 0.5, np.float32)
    half_sure[3] = [1, 0]
    found = label_quality((for_it, half_sure), labels)
    assert (found >= 0).all() and (found <= 1).all()
    assert np.argsort(found)[:2].tolist() == [3, 8]
    assert weights((half_sure[:3], for_it[:3]), labels[:3]) <= [MOST, MOST]
