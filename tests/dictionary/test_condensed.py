"""Condensed nearest neighbours against the algorithm written out."""

import numpy as np
import pytest

from dseld_cli.dictionary import condensed as module
from dseld_cli.dictionary.condensed import condensed
from tests.dictionary.test_representative import unit


def hart(rows: np.ndarray, labels: np.ndarray, order: np.ndarray) -> list[int]:
    """One image at a time: taken if the nearest of those taken is of another class."""
    taken: list[int] = []
    for i in order:
        if not taken or labels[taken[int((rows[taken] @ rows[i]).argmax())]] != labels[i]:
            taken.append(int(i))
    return taken


@pytest.mark.parametrize("block", [1024, 7])
@pytest.mark.parametrize("panel", [8192, 5])
def test_block_by_block_it_takes_what_one_by_one_it_does(
    monkeypatch: pytest.MonkeyPatch, block: int, panel: int
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    monkeypatch.setattr(module, "PANEL", panel)
    rng = np.random.default_rng(0)
    rows, labels = unit(rng.normal(size=(300, 6))), rng.integers(0, 4, 300)
    assert condensed(rows, labels, 5).tolist() == hart(rows, labels, np.random.default_rng(5).permutation(300))


def test_one_class_needs_one_image() -> None:
    assert len(condensed(unit(np.random.default_rng(0).random((30, 3))), np.zeros(30, np.int64), 0)) == 1
