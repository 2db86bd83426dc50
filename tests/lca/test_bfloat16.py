"""Products in bfloat16: rounding against torch's, sums against those of float64 within the bound that is relied on."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dseld_cli.lca import bfloat16
from dseld_cli.lca.atoms import Atoms
from dseld_cli.lca.knots import UNIT, gamma
from dseld_cli.lca.products import InBfloat16
from dseld_cli.lca.screening import has_bfloat16

needs_instructions = pytest.mark.skipif(not has_bfloat16(), reason="this processor has no instructions for bfloat16")


def by_torch(rows: np.ndarray) -> np.ndarray:
    return torch.from_numpy(rows).bfloat16().double().numpy()


def values(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=70))
def test_rounding_is_to_the_nearest_ties_to_even(numbers: list[float]) -> None:
    rows = np.array([numbers, numbers[::-1]], np.float32)
    bits = bfloat16.rounded(rows, 6)
    assert bits.shape == (6, -(-len(numbers) // 32) * 32)
    np.testing.assert_array_equal(values(bits)[:2, : len(numbers)], by_torch(rows))
    assert not bits[2:].any()
    assert not bits[:, len(numbers) :].any()


@needs_instructions
@pytest.mark.parametrize("n", [1, 31, 32, 33, 784])
@pytest.mark.parametrize(("r", "m"), [(1, 1), (7, 5), (200, 103)])
def test_products_are_those_of_the_rounded_rows_within_the_bound(r: int, m: int, n: int) -> None:
    rng = np.random.default_rng(n)
    references, rows = (rng.standard_normal((k, n)).astype(np.float32) * 3 for k in (r, m))
    products = InBfloat16(Atoms.of(rows))
    found = np.concatenate([part for _, _, part in products(references)], axis=1)

    exact = by_torch(references) @ by_torch(rows).T
    sizes = np.linalg.norm(by_torch(references), axis=1)[:, None] * np.linalg.norm(by_torch(rows), axis=1)
    assert (np.abs(found - exact) <= gamma(n + 4) * sizes).all()
    assert products.precision.output == UNIT
    np.testing.assert_array_equal(products.sketched(references, rows), found)


def test_what_rounding_costs_is_measured_and_no_number_stays_none() -> None:
    rows = np.random.default_rng(1).standard_normal((50, 100)).astype(np.float32)
    norm, lost = bfloat16.largest(rows)
    assert norm == pytest.approx(np.linalg.norm(rows.astype(np.float64), axis=1).max(), rel=1e-5)
    assert lost == pytest.approx(np.linalg.norm(rows - by_torch(rows), axis=1).max(), rel=1e-5)
    rows[7, 3] = np.nan
    assert np.isnan(bfloat16.largest(rows)).all()
    assert np.isnan(InBfloat16(Atoms.of(rows)).precision.norm)
