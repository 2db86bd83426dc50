"""Inner products in registers against those of float64, by the kernel that this processor takes and by the other."""

import numpy as np
import pytest

from dseld_cli.lca import block, inner
from dseld_cli.lca.knots import gamma

KERNELS = [
    pytest.param(inner.four_by_three, 4, 3, id="four by three"),
    pytest.param(
        inner.six_by_four, 6, 4, id="six by four",
        marks=pytest.mark.skipif(not block.compiled_for("avx512f"), reason="this processor has no AVX-512"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("n", [1, 15, 16, 17, 64, 1285])
@pytest.mark.parametrize(("kernel", "rows", "columns"), KERNELS)
def test_a_block_is_that_of_the_rows_named_wherever_they_stand(kernel, rows, columns, n):
    rng = np.random.default_rng(n)
    left, right = (rng.standard_normal((40, n)).astype(np.float32) for _ in range(2))
    these, those = rng.integers(0, 40, 24), rng.integers(0, 40, 24)
    found = np.full((24, 24), 7, np.float32)
    kernel(left, these, 12, right, those, 12, found)

    exact = left[these].astype(np.float64) @ right[those].astype(np.float64).T
    sizes = np.linalg.norm(left[these], axis=1)[:, None] * np.linalg.norm(right[those], axis=1)
    here = np.s_[12 : 12 + rows, 12 : 12 + columns]
    assert (np.abs(found - exact) <= gamma(n + 4) * sizes)[here].all()
    found[here] = 7
    assert (found == 7).all()


def test_a_product_has_the_same_bits_in_any_place_and_from_either_side():
    rng = np.random.default_rng(0)
    rows = inner.filled_up(rng.standard_normal((50, 333)).astype(np.float32))
    found = np.zeros((len(rows), len(rows)), np.float32)
    inner.inner_products(rows, rows, found)
    np.testing.assert_array_equal(found, found.T)

    order = rng.permutation(len(rows))
    again = np.zeros_like(found)
    inner.inner_products(rows[order], rows[order], again)
    np.testing.assert_array_equal(again, found[np.ix_(order, order)])
