"""Products of rounded rows: against those of float64, within the bounds that the certificate relies on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dseld_cli.lca import integers, products
from dseld_cli.lca.atoms import Atoms
from dseld_cli.lca.products import OUTPUT, InIntegers, multiplies_integers

needs_instructions = pytest.mark.skipif(not multiplies_integers(), reason="no kernels of integers for this processor")


def rounded(rows: np.ndarray) -> np.ndarray:
    """Rows as they are multiplied, in float64."""
    scales, inverses = np.empty(len(rows), np.float32), np.empty(len(rows), np.float32)
    integers.measure(rows, False, scales, inverses)
    into = np.full((len(rows) + 3, rows.shape[1] + 5), 7, np.int16)
    integers.round_into(rows, inverses, into)
    assert not into[len(rows) :].any()
    assert not into[:, rows.shape[1] :].any()
    norms = np.linalg.norm(into.astype(np.float64), axis=1)
    assert (norms < 2**15.5).all()  # so that no sum of products of two leaves 32 bits
    return into[: len(rows), : rows.shape[1]] * scales[:, None].astype(np.float64)


def products_of(multiplied: InIntegers, references: np.ndarray) -> np.ndarray:
    return np.concatenate([part.copy() for _, _, part in multiplied(references)], axis=1)


@needs_instructions
@pytest.mark.parametrize("n", [1, 15, 16, 31, 32, 33, 784])
@pytest.mark.parametrize(("r", "m"), [(9, 1), (13, 5), (200, 103)])
def test_products_are_those_of_the_rounded_rows(r: int, m: int, n: int) -> None:
    rng = np.random.default_rng(n)
    references, rows = (rng.standard_normal((k, n)).astype(np.float32) * 3 for k in (r, m))
    rows[0] = 0  # a tombstone
    products = InIntegers(Atoms.of(rows))
    integers.round_references(references)
    found = products_of(products, references)

    exact = references.astype(np.float64) @ rounded(rows).T
    assert (np.abs(found - exact) <= 1.01 * OUTPUT * np.abs(found)).all()
    lost = np.linalg.norm(rows - rounded(rows), axis=1).max()
    assert lost <= products.precision.rounding <= 1.01 * lost + 2e-7 * products.precision.norm
    assert lost < 1e-3 * products.precision.norm


@needs_instructions
def test_the_largest_sums_do_not_overflow() -> None:
    """Rows that are equal, of one sign: all products of both sides add up."""
    rows = np.concatenate([np.ones((8, 4096)), np.eye(4096)[:8], -np.ones((8, 4096))]).astype(np.float32)
    references = np.concatenate([rows, 1.9 * rows]).astype(np.float32)
    integers.round_references(references)
    found = products_of(InIntegers(Atoms.of(rows)), references)
    np.testing.assert_allclose(found, references.astype(np.float64) @ rounded(rows).T, rtol=1e-6)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-30, 30), st.sampled_from([1, 7, 300]), st.booleans())
def test_rounded_references_are_multiplied_as_they_are(seed: int, power: float, n: int, peaked: bool) -> None:
    rng = np.random.default_rng(seed)
    references = (2**power * rng.standard_normal((4, n)) ** (9 if peaked else 1)).astype(np.float32)
    before = references.copy()
    integers.round_references(references)
    assert (np.linalg.norm(references - before, axis=1) <= 1e-2 * np.linalg.norm(before, axis=1)).all()
    scales, inverses = np.empty(4, np.float32), np.empty(4, np.float32)
    _, lost = integers.measure(references, True, scales, inverses)
    assert lost == 0
    again = references.copy()
    integers.round_references(again)
    np.testing.assert_array_equal(again, references)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_no_number_stays_none(wrong: float) -> None:
    rows = np.random.default_rng(1).standard_normal((50, 100)).astype(np.float32)
    rows[7, 3] = wrong
    assert not np.isfinite(InIntegers(Atoms.of(rows)).precision.norm)
    integers.round_references(rows)
    assert not np.isfinite(rows[7]).all()


@needs_instructions
def test_a_copy_that_is_kept_has_the_same_products() -> None:
    rng = np.random.default_rng(2)
    rows, references = (rng.standard_normal((k, 100)).astype(np.float32) for k in (70, 9))
    integers.round_references(references)
    products = InIntegers(Atoms.of(rows))
    few = products_of(products.kept(), references[:2])
    np.testing.assert_allclose(few, products_of(products, references)[:2], rtol=1e-5, atol=1e-5)


def test_a_copy_serves_processors_without_kernels_of_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images may have more references than are multiplied one by one elsewhere: that ended the process."""
    monkeypatch.setattr(products, "multiplies_integers", lambda: False)
    monkeypatch.delattr(integers, "multiply")
    rng = np.random.default_rng(3)
    rows, references = (rng.standard_normal((k, 100)).astype(np.float32) for k in (70, 12))
    integers.round_references(references)
    found = products_of(InIntegers(Atoms.of(rows)).kept(), references)
    np.testing.assert_allclose(found, references.astype(np.float64) @ rounded(rows).T, rtol=0, atol=1e-4)
