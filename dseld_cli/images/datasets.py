"""Labelled images by the name of their data set: scikit-learn's digits, torchvision's, or a folder of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dseld_cli.errors import UserError
from dseld_cli.images import image_folder as folders
from dseld_cli.images.image import Images

PUBLISHED = ("train", "test")
TORCHVISION = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
FOLDERS = {"imagenet": folders.imagenet, "tiny-imagenet": folders.tiny_imagenet}
HELD_OUT = 0.2
"""Share of the digits, which have no test split of their own, that is held out: by class, always the same draw."""


def images(dataset: str, root: Path, split: str) -> Images:
    """Images of a published split, train or test, of a data set, by the name that params.yaml's data.dataset may have.

    Raises:
        UserError: if there is no such data set, or it is not there and cannot be downloaded.

    """
    if dataset == "digits":
        return _digits(split)
    if dataset in TORCHVISION:
        return _torchvision(dataset, root, split)
    if dataset.startswith("folder:"):
        return folders.folder(Path(dataset.removeprefix("folder:")).expanduser(), split)
    if dataset in FOLDERS:
        return FOLDERS[dataset](root.expanduser(), split)
    known = ", ".join(["digits", *TORCHVISION, *FOLDERS])
    raise UserError(f"data.dataset: unknown data set {dataset!r}; there are {known} and folder:PATH")


def _digits(split: str) -> Images:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    parts = train_test_split(np.arange(len(digits.target)), test_size=HELD_OUT, random_state=0, stratify=digits.target)
    rows = parts[PUBLISHED.index(split)]
    pixels = (digits.images * (255 / 16)).astype(np.float32)  # 0 to 16, to the scale of every other image
    return Images(
        tuple(map(str, digits.target_names)),
        digits.target[rows].astype(np.int64),
        [f"digits/{row}" for row in rows],
        lambda i: pixels[rows[i]],
        Image.fromarray,
    )


def _torchvision(dataset: str, root: Path, split: str) -> Images:
    data = _downloaded(dataset, root, split)
    pixels = np.asarray(data.data)
    return Images(
        tuple(map(str, data.classes)),
        np.asarray(data.targets, dtype=np.int64),
        [f"{dataset}/{split}/{row}" for row in range(len(pixels))],
        lambda i: pixels[i],
        Image.fromarray,
    )


def _downloaded(dataset: str, root: Path, split: str) -> Any:
    from torchvision import datasets

    make = getattr(datasets, TORCHVISION[dataset])
    root = root.expanduser()
    try:
        try:
            return make(str(root), train=split == "train")
        except RuntimeError:  # not there, or incomplete
            return make(str(root), train=split == "train", download=True)
    except Exception as error:  # torchvision raises whatever its download or its parser does
        raise UserError(
            f"{dataset} is not in {root} and could not be downloaded ({_line(error)}): pass --data-root DIR, where "
            f"torchvision.datasets.{TORCHVISION[dataset]}(DIR) finds it"
        ) from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
