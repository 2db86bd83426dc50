"""Rebuilding images against the float64 recurrence, and the measures against their definitions."""

import numpy as np
import pytest

from dseld_cli.evaluation.reconstruction import gaussian_atoms, quality, rebuild, steps_to_settle, unit
from dseld_cli.lca.recurrence import LCAParams
from tests.reference import lca_float64


def test_energies_are_those_of_the_float64_recurrence_and_the_image_is_that_of_the_code() -> None:
    rng = np.random.default_rng(0)
    images, atoms = rng.random((4, 12)).astype(np.float32), unit(rng.random((20, 12)).astype(np.float32))
    found = rebuild(images, atoms, LCAParams(0.2, 50.0, 80))
    true = lca_float64(images, atoms, 0.2, 50, 80)
    np.testing.assert_allclose(found.images, np.clip(true.code @ atoms, 0, 1), atol=1e-4)
    silence = 0.5 * (images.astype(np.float64) ** 2).sum(1, keepdims=True)
    np.testing.assert_allclose(found.reconstruction + found.sparsity, true.energy + silence, atol=1e-3)
    activations = np.sign(true.potential) * np.maximum(np.abs(true.potential) - 0.2, 0)
    left = images[:, None] - activations @ atoms
    np.testing.assert_allclose(found.reconstruction[:, 1:], 0.5 * (left**2).sum(2), atol=1e-3)
    np.testing.assert_allclose(found.sparsity[:, 1:], 0.2 * np.abs(activations).sum(2), atol=1e-3)
    assert found.firing.tolist() == true.firing[:, -1].tolist()


def test_an_orthonormal_dictionary_and_many_steps_give_the_image_less_lambda() -> None:
    image = np.array([[0.9, 0.5, 0.05, 0.0]], np.float32)
    found = rebuild(image, np.eye(4, dtype=np.float32), LCAParams(0.1, 10.0, 500))
    np.testing.assert_allclose(found.images, [[0.8, 0.4, 0, 0]], atol=1e-5)


def test_settling_is_the_last_time_the_energy_comes_within_one_percent() -> None:
    falling = 100 * 0.5 ** np.arange(20.0)
    assert steps_to_settle(falling[None]).tolist() == [7], "100 / 2^7 < 1 <= 100 / 2^6"
    back_and_forth = np.array([[100.0, 0, 50, 0, 0]])
    assert steps_to_settle(back_and_forth).tolist() == [3]
    assert steps_to_settle(np.zeros((1, 5))).tolist() == [0], "silence from the start"


def test_quality_is_on_the_scale_of_0_to_255() -> None:
    images = np.full((2, 64), 0.5, np.float32)
    found = quality(images, images + np.float32(10 / 255), (8, 8))
    assert found["mse"] == pytest.approx(100, rel=1e-4)
    assert found["psnr"] == pytest.approx(10 * np.log10(255**2 / 100), rel=1e-4)
    assert quality(images, images, (8, 8))["ssim"] == 1


def test_atoms_are_unit_norm_and_a_blank_image_is_none() -> None:
    np.testing.assert_allclose(np.linalg.norm(gaussian_atoms(9, 5, 0), axis=1), 1, rtol=1e-6)
    assert len(unit(np.array([[0, 0], [3, 4]], np.float32))) == 1
