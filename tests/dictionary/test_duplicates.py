"""Copies are found, and nothing else: against comparing all rows with all rows."""

import subprocess
import sys

import numpy as np
import pytest

from dseld_cli.dictionary.duplicates import CACHED_WORDS, distinct, equal_to, first_equal, keys, keys_of

KINDS = {
    "dense": lambda rng, n, width: rng.random((n, width), np.float32),
    "of few values": lambda rng, n, width: rng.integers(0, 2, (n, width)).astype(np.float32),
    "one-hot": lambda rng, n, width: np.eye(width, dtype=np.float32)[rng.integers(0, width, n)],
    "powers of two": lambda rng, n, width: np.exp2(rng.integers(-20, 20, (n, width))).astype(np.float32),
}


@pytest.mark.parametrize("width", [1, 2, 7, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_equal_where_rows_are(kind: str, width: int) -> None:
    rng = np.random.default_rng(width)
    rows = KINDS[kind](rng, 150, width)
    rows = rows[rng.integers(0, len(rows), 200)]
    same = (rows[:, None].view(np.uint32) == rows[None].view(np.uint32)).all(axis=2)
    found = keys(rows)
    np.testing.assert_array_equal(found[:, None] == found[None], same)
    np.testing.assert_array_equal(first_equal(found), same.argmax(axis=1))
    np.testing.assert_array_equal(distinct(found), np.unique(same.argmax(axis=1)))
    for row, twins in enumerate(equal_to(found[:20], found)):
        np.testing.assert_array_equal(twins, np.flatnonzero(same[row]))


def test_the_last_bit_and_the_sign_of_zero_count() -> None:
    rows = np.ones((3, 5), np.float32)
    rows[1, 4] = np.nextafter(np.float32(1), np.float32(2))
    rows[2, 0] = -0.0
    assert len(np.unique(keys(rows))) == 3
    assert keys(np.zeros((1, 5), np.float32)) == 0


def test_a_row_has_its_key_whatever_it_is_hashed_with() -> None:
    width = 300
    rows = np.random.default_rng(0).random((2 * CACHED_WORDS // width + 5, width), np.float32)
    whole = keys(rows)
    np.testing.assert_array_equal(keys_of([rows[:7], rows[7:8], rows[8:]]), whole)
    np.testing.assert_array_equal(keys(rows[::-1])[::-1], whole)
    assert keys_of([]).shape == (0,)


def test_another_process_has_the_same_keys() -> None:
    code = "import numpy as np; from dseld_cli.dictionary.duplicates import keys; "
    code += "print(*keys(np.arange(12, dtype=np.float32).reshape(3, 4)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.split() == [str(key) for key in keys(np.arange(12, dtype=np.float32).reshape(3, 4))]
