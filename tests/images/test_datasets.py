"""Data sets by name, in torchvision's own layout, and folders."""

import struct
from pathlib import Path

import numpy as np
import pytest

from dseld_cli.errors import UserError
from dseld_cli.images.datasets import images


def write_idx(path: Path, content: np.ndarray) -> None:
    """The format of MNIST's files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        struct.pack(f">BBBB{content.ndim}I", 0, 0, 8, content.ndim, *content.shape) + content.astype(np.uint8).tobytes()
    )


def test_digits_are_split_by_class_with_a_fifth_held_out() -> None:
    train, test = (images("digits", Path(), split) for split in ("train", "test"))
    assert (len(train), len(test)) == (1437, 360)
    assert not set(train.source) & set(test.source)
    assert abs(np.bincount(train.labels) / 4 - np.bincount(test.labels)).max() <= 1
    from sklearn.datasets import load_digits

    digits = load_digits()
    row = int(test.source[5].split("/")[1])
    assert test.labels[5] == digits.target[row]
    np.testing.assert_allclose(np.asarray(test.load(5)) / 255, digits.images[row] / 16, rtol=1e-6)


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_torchvisions_layout_is_read(tmp_path: Path, name: str, folder: str) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (7, 28, 28))
    for part, n in (("train", 7), ("t10k", 3)):
        write_idx(tmp_path / folder / "raw" / f"{part}-images-idx3-ubyte", pixels[:n])
        write_idx(tmp_path / folder / "raw" / f"{part}-labels-idx1-ubyte", np.arange(n))
    train, test = (images(name, tmp_path, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (7, 3)
    assert test.labels.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(np.asarray(train.load(4)), pixels[4])


def test_what_cannot_be_downloaded_says_how_to_pass_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    def no_network(self: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(datasets.CIFAR10, "download", no_network)
    with pytest.raises(UserError, match=r"cifar10 is not in .*no network.*--data-root DIR"):
        images("cifar10", tmp_path, "train")
