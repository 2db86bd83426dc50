"""Products cut into parts: right, and the same by any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from dseld_cli.runtime.engine import threads_per_operation
from dseld_cli.runtime.matrices import product


@pytest.mark.parametrize("shape", [(0, 5, 7), (3, 4, 5), (1, 700, 9000), (700, 64, 1100), (513, 300, 512)])
def test_a_product_is_right_and_its_bits_depend_on_no_number_of_threads(shape, monkeypatch):
    r, n, m = shape
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal(size).astype(np.float32) for size in ((r, n), (m, n)))
    found = []
    for threads in (1, 3):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        with threads_per_operation(threads):
            found.append(product(left, right.T))
    np.testing.assert_array_equal(*found)
    assert found[0].dtype == np.float32
    np.testing.assert_allclose(found[0], left.astype(np.float64) @ right.T, atol=1e-3)
