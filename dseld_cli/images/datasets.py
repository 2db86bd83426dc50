"""Labelled images by the name of their data set: scikit-learn's digits, torchvision's, or a folder of them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dseld_cli.errors import UserError
from dseld_cli.images import digits, idx
from dseld_cli.images import image_folder as folders
from dseld_cli.images.image import Images
from dseld_cli.runtime.console import warn
from dseld_cli.runtime.home import expanded
from dseld_cli.runtime.text import told

PUBLISHED = ("train", "test")
IDX = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
"""Data sets that come as idx files, and torchvision's names for them."""
PICKLED = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}
"""Data sets that only torchvision unpickles."""
DIGITS = "zero one two three four five six seven eight nine"
CLOTHES = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
CLASSES = {
    "mnist": tuple(f"{digit} - {name}" for digit, name in enumerate(DIGITS.split())),
    "fashion-mnist": tuple(CLOTHES.split(",")),
}
"""Names of their classes, as torchvision has them."""
FOLDERS = {
    "imagenet": folders.imagenet,
    "tiny-imagenet": folders.tiny_imagenet,
    "imagenette": folders.imagenette,
}
HELD_OUT = 0.2
"""Share of the digits, which have no test split of their own, that is held out: by class, always the same draw."""


def images(
    dataset: str, root: Path, split: str, test_share: float = 0.0, seed: int = 0, also: Sequence[str] = ()
) -> Images:
    """Images of a published split, train or test, of a data set, by the name that params.yaml's data.dataset may have.

    A folder that comes in no splits is divided by a seeded draw: `test_share` of each class is test. Its test split may
    have the classes `also` beside those of its train split.

    Raises:
        UserError: if there is no such data set, it is damaged, or it is not there and cannot be downloaded.

    """
    if dataset in IDX:
        return _idx(dataset, expanded(root), split)
    if dataset in PICKLED:
        return _pickled(dataset, expanded(root), split)
    if dataset in FOLDERS:
        return FOLDERS[dataset](expanded(root), split)
    if dataset == "digits":
        return _digits(split)
    kind, _, path = dataset.partition(":")
    if kind == "folder" and path:
        try:
            place = expanded(Path(path))
            found = folders.folder(place, split, test_share, seed, also)
            if split == "train" and (beside := folders.beside(place)):
                warn(
                    f"{path} has {', '.join(beside[:3])}{', ...' if len(beside) > 3 else ''} beside train, not read: "
                    "classes are the folders in train and test, and val is drawn from train"
                )
            return found
        except OSError as error:  # a name too long, a folder that may not be read
            raise UserError(f"data.dataset: {dataset[:80]} cannot be read ({error.strerror})") from None
    raise UserError(f"data.dataset: unknown data set {dataset[:80]!r}; {_hint(dataset)}")


def _hint(dataset: str) -> str:
    known = ["digits", *IDX, *PICKLED, *FOLDERS]
    if dataset == "folder:" or "/" in dataset or _is_folder(dataset):
        return f"a folder of images is folder:PATH, such as folder:{dataset.removeprefix('folder:') or '~/photos'}"
    near = difflib.get_close_matches(dataset, known, n=1)
    return (f"did you mean {near[0]}? " if near else "") + f"there are {', '.join(known)} and folder:PATH"


def _is_folder(name: str) -> bool:
    try:
        return Path(name).expanduser().is_dir()
    except (OSError, RuntimeError, ValueError):  # too long, of an unknown user, with a zero byte
        return False


def _digits(split: str) -> Images:
    pixels, labels = digits.load()
    rows = digits.parts(labels, HELD_OUT)[PUBLISHED.index(split)]
    scaled = (pixels * (255 / 16)).astype(np.float32)  # 0 to 16, to the scale of every other image
    return Images(
        tuple("0123456789"), labels[rows], [f"digits/{row}" for row in rows], lambda i: scaled[rows[i]], Image.fromarray
    )


def _idx(dataset: str, root: Path, split: str) -> Images:
    """MNIST and its like, in the files that torchvision keeps them in."""
    folder, part = root / IDX[dataset] / "raw", {"train": "train", "test": "t10k"}[split]
    files = [folder / f"{part}-{what}" for what in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    if not all(file.exists() for file in files):
        _torchvision(dataset, IDX[dataset], root, split)  # downloads and unpacks them
    pixels, labels = idx.read(files[0], 3), idx.read(files[1], 1)
    if len(pixels) != len(labels):
        raise UserError(
            f"{files[0]} has {len(pixels)} images, but {files[1]} has {len(labels)} labels: one of them is damaged; "
            f"delete both, and {dataset} is downloaded again"
        )
    if (labels >= len(CLASSES[dataset])).any():
        raise UserError(f"{files[1]} is damaged: it has a label {labels.max()}; delete it to have it downloaded again")
    return _in_memory(f"{dataset}/{split}", CLASSES[dataset], labels.astype(np.int64), pixels)


def _pickled(dataset: str, root: Path, split: str) -> Images:
    """CIFAR, whose files are pickles: torchvision reads them once it has compared their checksums."""
    data = _torchvision(dataset, PICKLED[dataset], root, split)
    classes = tuple(map(str, data.classes))
    return _in_memory(f"{dataset}/{split}", classes, np.asarray(data.targets, dtype=np.int64), np.asarray(data.data))


def _in_memory(name: str, classes: tuple[str, ...], labels: NDArray[np.int64], pixels: NDArray[Any]) -> Images:
    source = [f"{name}/{row}" for row in range(len(pixels))]
    return Images(classes, labels, source, lambda i: pixels[i], Image.fromarray)


def _torchvision(dataset: str, name: str, root: Path, split: str) -> Any:
    from torchvision import datasets

    make = getattr(datasets, name)
    try:
        try:
            return make(str(root), train=split == "train")
        except RuntimeError:  # not there, or incomplete
            return make(str(root), train=split == "train", download=True)
    except Exception as error:  # torchvision raises whatever its download or its parser does
        raise UserError(
            f"{dataset} is not whole in {root} and could not be downloaded ({told(error)[:200]}): pass "
            f"--data-root DIR, where torchvision.datasets.{name}(DIR) finds it"
        ) from None
