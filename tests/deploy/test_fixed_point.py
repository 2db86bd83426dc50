"""Integers against the float64 recurrence, by bounds that follow from their rounding."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from dseld_cli.deploy import fixed_point
from dseld_cli.deploy.fixed_point import (
    Overflow,
    as_power_of_two,
    inhibition_weights,
    quantise,
    run_one_layer,
    run_two_layers,
)
from dseld_cli.errors import DoesNotFit
from dseld_cli.lca.recurrence import LCAParams
from tests.reference import lca_float64

PARAMS = LCAParams(lambda_=1.0, tau=128, steps=128)
FINE = 24
"""Bits of weights that leave of the rounding only that of the states."""


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    pixels = load_digits().data / 16
    return pixels[:300] / np.linalg.norm(pixels[:300], axis=1, keepdims=True), pixels[1000:1040]


def late(b: np.ndarray, atoms: np.ndarray, params: LCAParams) -> np.ndarray:
    """The float64 recurrence with inhibition one step late."""
    lateral = atoms @ atoms.T - np.eye(len(atoms))
    u, a, before = np.zeros_like(b), np.zeros_like(b), np.zeros_like(b)
    for _ in range(params.steps):
        u, before = u + (b - u - before @ lateral) / params.tau, a
        a = np.sign(u) * np.maximum(np.abs(u) - params.lambda_, 0)
    return a


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("shift", [0.0, 0.1], ids=["one sign", "both signs"])
def test_a_weight_is_at_most_half_a_step_off(digits, bits: int, shift: float) -> None:
    atoms = digits[0] - shift
    found = quantise(atoms, bits)
    step = 2.0**found.exponent * (2 if shift else 1)
    assert np.abs(found.values() - atoms).max() <= step / 2
    assert np.abs(found.mantissa).max() < 2**bits
    assert np.abs(found.mantissa).max() > 2 ** (bits - 1) - 2  # a smaller exponent would not hold them
    if shift:
        assert not (found.mantissa % 2).any()


def test_zeros_are_quantised_to_zeros() -> None:
    assert not quantise(np.zeros((2, 3))).mantissa.any()


def test_fine_integers_approach_the_recurrence_one_step_late(digits) -> None:
    atoms, images = digits
    b = images @ atoms.T
    want = late(b, atoms, PARAMS)
    off = []
    for scale in (14, 18):
        found = run_one_layer(b, inhibition_weights(atoms, PARAMS.tau, FINE), PARAMS, scale)
        off.append(np.abs(found.code - want).max())
    assert off[1] < 2e-3
    assert off[1] < off[0] / 8  # sixteen times finer states


def test_both_layers_approach_the_paper_s_recurrence_as_steps_become_short(digits) -> None:
    """Late inhibition costs a share of 1/tau: at long time constants both forms are the paper's network."""
    atoms, images = digits
    slow = LCAParams(1.0, 1024, 1024)
    want = lca_float64(images, atoms, 1.0, 1024, 1024).code
    two = run_two_layers(images, quantise(atoms, FINE), slow, 18)
    fast = run_two_layers(images, quantise(atoms, FINE), PARAMS, 18)
    assert np.abs(two.code - want).max() < 0.1 * np.abs(want).max()
    assert np.abs(two.code - want).max() < np.abs(fast.code - lca_float64(images, atoms, 1.0, 128, 128).code).max()


def test_eight_bits_hardly_change_the_code(digits) -> None:
    atoms, images = digits
    want = lca_float64(images, atoms, 1.0, 128, 128).code
    found = run_two_layers(images, quantise(atoms), PARAMS, 14)
    assert np.abs(found.code - want).mean() < 0.02 * np.abs(want[want != 0]).mean()


def test_overflow_is_refused_not_wrapped(digits) -> None:
    atoms, images = digits
    for run in (
        lambda scale: run_two_layers(images, quantise(atoms), PARAMS, scale),
        lambda scale: run_one_layer(images @ atoms.T, inhibition_weights(atoms, 128), PARAMS, scale),
    ):
        peak = run(16).peak
        assert peak < 2**23
        with pytest.raises(DoesNotFit, match="smaller scale"):
            run(16 + int(np.ceil(23 - np.log2(peak))))


def test_a_time_constant_that_no_shift_can_divide_by_is_refused(digits) -> None:
    atoms, images = digits
    with pytest.raises(DoesNotFit, match="at most 2\\^24"):
        run_two_layers(images, quantise(atoms), LCAParams(1.0, 2.0**30, 100), 12)
    with pytest.raises(Overflow, match="lambda 1000"):
        run_two_layers(images, quantise(atoms), LCAParams(1000.0, 128, 1), 16)
    with pytest.raises(DoesNotFit, match="take 128"):
        run_two_layers(images, quantise(atoms), LCAParams(1.0, 100, 100), 12)
    assert as_power_of_two(LCAParams(1.0, 100, 200)) == LCAParams(1.0, 128, 256)


def test_a_residual_that_waits_sends_fewer_messages_for_nearly_the_same_code(digits) -> None:
    atoms, images = digits
    often, seldom = (run_two_layers(images, quantise(atoms), PARAMS, 14, height) for height in (0, 4))
    assert (seldom.messages < often.messages).all()
    assert seldom.operations.sum() < often.operations.sum() / 5
    assert np.abs(seldom.code - often.code).max() < 0.1 * often.code.max()


def test_messages_and_operations_are_counted_as_weights_met() -> None:
    """One atom, two features, by hand: at K = 2 three steps; the residual sends both features at the first two."""
    atoms = quantise(np.array([[1.0, 0.0]]))
    found = run_two_layers(np.array([[4.0, 2.0]]), atoms, LCAParams(0.5, 2, 2), 8)
    # Step 1: r = S is sent (2 messages). 2: v = 2, r = S again (2). 3: a = 1.5 is sent (1), r = S (2).
    assert found.messages[0] == 7
    assert found.operations[0] == 6 * 1 + 1 * 2
    assert found.code[0, 0] == pytest.approx(4 / 2 + 4 / 2 / 2 + 1.5 / 2 - 0.5, abs=0.02)


def test_an_image_s_code_does_not_depend_on_its_batch(digits) -> None:
    atoms, images = digits
    whole = run_two_layers(images, quantise(atoms), PARAMS, 14).code
    np.testing.assert_array_equal(run_two_layers(images[3:4], quantise(atoms), PARAMS, 14).code, whole[3:4])


@pytest.mark.parametrize("shift", [0.0, 0.3], ids=["one sign", "both signs"])
@pytest.mark.parametrize("bits", [8, 20])
def test_weights_of_one_layer_are_those_of_the_whole_matrix_made_in_tiles(
    monkeypatch: pytest.MonkeyPatch, shift: float, bits: int
) -> None:
    monkeypatch.setattr(fixed_point, "TILE", 7)
    rows = np.random.default_rng(0).random((20, 9)) - shift
    atoms = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    lateral = atoms @ atoms.T
    np.fill_diagonal(lateral, 0)
    found, whole = inhibition_weights(atoms, 32.0, bits), quantise(-lateral / 32, bits)
    assert found.exponent == whole.exponent
    np.testing.assert_array_equal(found.mantissa, found.mantissa.T)
    assert np.abs(found.mantissa - whole.mantissa).max() <= (2 if shift else 1) * (bits == 20)
    assert found.mantissa.itemsize == (2 if bits == 8 else 4)
