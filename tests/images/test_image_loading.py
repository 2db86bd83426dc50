"""Decoding ahead, in this process and in others."""

from pathlib import Path

import numpy as np
import pytest

from dseld_cli.backbones.base import backbone
from dseld_cli.images.datasets import images
from dseld_cli.images.image_loading import MOST_WORKERS, decoded, worker_processes
from tests.conftest import image_folder


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_come_in_order_and_what_is_broken_comes_as_a_line(tmp_path: Path, workers: int) -> None:
    image_folder(tmp_path, {"ant": 5})
    (tmp_path / "train/ant/3.png").write_text("no image")
    found = images(f"folder:{tmp_path}", tmp_path, "train")
    prepare = backbone("none", "default", "cpu").prepare
    first, second = decoded(found, prepare, [range(3), range(3, 5)], workers)
    for row, array in enumerate([*first, second[1]]):
        expected = found.load(row if row < 3 else 4)
        np.testing.assert_array_equal(array, np.asarray(expected))
    assert isinstance(second[0], str)
    assert "3.png is not a readable image" in second[0]


def test_auto_starts_processes_only_where_they_pay() -> None:
    assert worker_processes("auto", 100, "cuda") == 0
    assert 1 <= worker_processes("auto", 10**6, "cuda") <= MOST_WORKERS
    assert worker_processes("auto", 10**6, "cpu") == 0
    assert worker_processes(3, 100, "cpu") == 3
