"""Minimum residual against its definition: the best length of each class's explanation, by least squares."""

import numpy as np

from dseld_cli.decoders.base import Given
from dseld_cli.decoders.minimum_residual import MinimumResidual
from tests.decoders.test_decoders import sparse


def residuals(code: np.ndarray, labels: np.ndarray, n: int, atoms: np.ndarray, images: np.ndarray) -> np.ndarray:
    return MinimumResidual().scores(sparse(code), Given(labels, n, atoms.__getitem__, lambda: images))


def test_the_score_is_what_a_least_squares_fit_of_the_class_takes_off() -> None:
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((12, 5)).astype(np.float32)
    labels, images = rng.integers(0, 4, 12), rng.standard_normal((6, 5)).astype(np.float32)
    code = (rng.standard_normal((6, 12)) * (rng.random((6, 12)) < 0.7)).astype(np.float32)
    scores = residuals(code, labels, 4, atoms, images)
    for i, image in enumerate(images):
        for c in range(4):
            explanation = code[i, labels == c] @ atoms[labels == c]
            length, *_ = np.linalg.lstsq(explanation[:, None], image, rcond=None)
            residual = image - max(length[0], 0) * explanation
            np.testing.assert_allclose(scores[i, c], image @ image - residual @ residual, atol=1e-4)


def test_a_class_that_alone_rebuilds_the_image_wins_whatever_the_length() -> None:
    atoms, labels = np.eye(3, dtype=np.float32), np.array([0, 0, 1])
    image = np.array([[3, 4, 1]], np.float32)
    for length in (0.1, 1, 10):
        scores = residuals(length * np.array([[3.0, 4, 1]]), labels, 3, atoms, image)
        np.testing.assert_allclose(scores, [[25, 1, 0]], rtol=1e-5)
