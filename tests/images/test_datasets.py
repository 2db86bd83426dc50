"""Data sets by name, in torchvision's own layout, and folders."""

import struct
import subprocess
import sys
from collections.abc import Callable
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


def mnist(path: Path, n_images: int = 3, n_labels: int = 3) -> Path:
    raw = path / "MNIST/raw"
    write_idx(raw / "t10k-images-idx3-ubyte", np.zeros((n_images, 28, 28)))
    write_idx(raw / "t10k-labels-idx1-ubyte", np.arange(n_labels))
    return raw


def test_unequal_counts_of_images_and_labels_are_damage(tmp_path: Path) -> None:
    mnist(tmp_path, n_images=20, n_labels=19)
    with pytest.raises(UserError, match=r"t10k-images\S+ has 20 images, but \S+ has 19 labels: .*damaged"):
        images("mnist", tmp_path, "test")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("t10k-images-idx3-ubyte", lambda old: old[:-1], r"has 2367 bytes, and should have 2368"),
        ("t10k-images-idx3-ubyte", lambda old: old + b"x", r"has 2369 bytes, and should have 2368"),
        ("t10k-images-idx3-ubyte", lambda old: old[:9], "does not begin as an idx file of 3 dimensions"),
        ("t10k-images-idx3-ubyte", lambda old: b"<html>404</html>", "does not begin as an idx file"),
        ("t10k-images-idx3-ubyte", lambda old: old[:4] + b"\xff" * 12 + old[16:], "should have"),
        ("t10k-labels-idx1-ubyte", lambda old: b"", "does not begin as an idx file of 1 dimensions"),
        ("t10k-labels-idx1-ubyte", lambda old: old[:4] + bytes(4), "holds nothing"),
        ("t10k-labels-idx1-ubyte", lambda old: old[:-1] + b"\x0a", "has a label 10"),
    ],
)
def test_a_damaged_idx_file_is_named(tmp_path: Path, file: str, content: Callable[[bytes], bytes], said: str) -> None:
    path = mnist(tmp_path) / file
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(UserError, match=rf"{file} is damaged: .*{said}"):
        images("mnist", tmp_path, "test")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("minst", "did you mean mnist"),
        ("folder:", "a folder of images is folder:PATH"),
        (".", r"a folder of images is folder:PATH, such as folder:\."),
        ("x" * 10**6, r"unknown data set 'x{80}'"),
        ("~nobody-of-that-name/x", "unknown data set"),
        ("zero\0byte", "unknown data set"),
        ("folder:" + "x" * 10**6, r"folder:x{73} cannot be read \(File name too long\)"),
    ],
)
def test_a_name_that_is_none_is_guessed(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        images(name, Path(), "train")
    assert len(str(caught.value)) <= 500


def test_no_network_library_is_imported_for_pixels(tmp_path: Path) -> None:
    mnist(tmp_path)
    lines = [
        "import sys",
        "from pathlib import Path",
        "from dseld_cli.backbones.base import backbone",
        "from dseld_cli.images import external_features, image_loading, splits",
        "from dseld_cli.images.datasets import images",
        f"found, pixels = images('mnist', Path({str(tmp_path)!r}), 'test'), backbone('none')",
        "print(pixels.features([pixels.prepare(found.load(0))]).shape)",
        "print({'torch', 'torchvision', 'sklearn'} & {*sys.modules})",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 784)\nset()\n"


def test_what_cannot_be_downloaded_says_how_to_pass_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    def no_network(self: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(datasets.CIFAR10, "download", no_network)
    with pytest.raises(UserError, match=r"cifar10 is not whole in .*no network.*--data-root DIR"):
        images("cifar10", tmp_path, "train")
