"""Scores that come block by block: the same store as from all at once, however they are cut, after any interruption."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dseld_cli import store
from dseld_cli.evaluation.scored import keep_scores
from dseld_cli.store import spec

SCORES = np.random.default_rng(0).random((50, 3), np.float32)
INFO = store.PredictionsInfo(inputs={}, decoder="class-sum", split="test", classes=("ant", "bee", "cat"))


def blocks(size: int, until: int = 99) -> Iterator[np.ndarray]:
    for number, part in enumerate(store.blocks(len(SCORES), size)):
        if number == until:
            raise KeyboardInterrupt
        yield SCORES[part]


@pytest.mark.parametrize("size", [1, 7, 8, 50])
@pytest.mark.parametrize("stopped", [0, 1, 3])
def test_the_store_is_the_same_however_scores_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, stopped: int
) -> None:
    monkeypatch.setattr(spec, "ROWS", 16)
    whole, path = tmp_path / "whole.zarr", tmp_path / "parts.zarr"
    store.write(whole, INFO, {"labels": SCORES.argmax(axis=1), "scores": SCORES})
    if stopped and stopped * size < len(SCORES):
        with pytest.raises(KeyboardInterrupt):
            keep_scores(path, INFO, SCORES.shape, blocks(size, stopped), lambda some: some.argmax(axis=1))
    labels = keep_scores(path, INFO, SCORES.shape, blocks(size), lambda some: some.argmax(axis=1))
    np.testing.assert_array_equal(labels, SCORES.argmax(axis=1))
    found, wanted = (store.open_store(its, store.PredictionsInfo) for its in (path, whole))
    assert found.fingerprint == wanted.fingerprint
    np.testing.assert_array_equal(found.read("scores"), SCORES)
