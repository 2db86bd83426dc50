"""Decoding ahead, in this process and in others."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dseld_cli.backbones.base import backbone
from dseld_cli.errors import UserError
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
        assert array.array is not None
        np.testing.assert_array_equal(array.array, np.asarray(expected))
    assert second[0].array is None
    assert "3.png is not a readable image" in second[0].broken


def killed(raw: object) -> Image.Image:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_a_worker_that_is_killed_is_one_line(tmp_path: Path) -> None:
    image_folder(tmp_path, {"ant": 5})
    found = replace(images(f"folder:{tmp_path}", tmp_path, "train"), open=killed)
    with pytest.raises(UserError, match="was killed, maybe for its memory"):
        list(decoded(found, np.asarray, [range(5)], 1))


def test_auto_starts_processes_only_where_they_pay() -> None:
    assert worker_processes("auto", 100, "cuda") == 0
    assert 1 <= worker_processes("auto", 10**6, "cuda") <= MOST_WORKERS
    assert worker_processes("auto", 10**6, "cpu") == 0
    assert worker_processes(3, 100, "cpu") == 3
