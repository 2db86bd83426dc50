"""Labelled images: data sets by name (scikit-learn's digits, torchvision's), or a folder of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dseld_cli.errors import UserError

SPLITS = ("train", "test")
TORCHVISION = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
HELD_OUT = 0.2
"""Share of the digits, which have no test split of their own, that is held out: by class, always the same draw."""


@dataclass(frozen=True)
class Images:
    """n labelled images of one split.

    Attributes:
        classes: class names; labels index them.
        labels: (n,) int64.
        source: where each image came from, (n,).
        load: image i, opened.

    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    source: list[str]
    load: Callable[[int], Image.Image]

    def __len__(self) -> int:
        return len(self.source)


def images(dataset: str, root: Path, split: str) -> Images:
    """Images of a split of a data set, by the name that params.yaml's data.dataset may have.

    Raises:
        UserError: if there is no such data set, or it is not there and cannot be downloaded.

    """
    if dataset == "digits":
        return _digits(split)
    if dataset in TORCHVISION:
        return _torchvision(dataset, root, split)
    if dataset.startswith("folder:"):
        return _folder(Path(dataset.removeprefix("folder:")).expanduser(), split)
    known = ", ".join(["digits", *TORCHVISION])
    raise UserError(f"data.dataset: unknown data set {dataset!r}; there are {known} and folder:PATH")


def _digits(split: str) -> Images:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    parts = train_test_split(np.arange(len(digits.target)), test_size=HELD_OUT, random_state=0, stratify=digits.target)
    rows = parts[SPLITS.index(split)]
    pixels = (digits.images * (255 / 16)).astype(np.float32)  # 0 to 16, to the scale of every other image
    return Images(
        tuple(map(str, digits.target_names)),
        digits.target[rows].astype(np.int64),
        [f"digits/{row}" for row in rows],
        lambda i: Image.fromarray(pixels[rows[i]]),
    )


def _torchvision(dataset: str, root: Path, split: str) -> Images:
    data = _downloaded(dataset, root, split)
    pixels = np.asarray(data.data)
    return Images(
        tuple(map(str, data.classes)),
        np.asarray(data.targets, dtype=np.int64),
        [f"{dataset}/{split}/{row}" for row in range(len(pixels))],
        lambda i: Image.fromarray(pixels[i]),
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


def _folder(path: Path, split: str) -> Images:
    classes = tuple(_class_folders(path, "train"))
    folders = _class_folders(path, split)
    if unknown := sorted(set(folders) - set(classes)):
        raise UserError(
            f"{path / split}: class {unknown[0]} has no folder in {path / 'train'}; classes come from there"
        )
    files = [(label, file) for label, name in enumerate(classes) if name in folders for file in _files(folders[name])]
    return Images(
        classes,
        np.array([label for label, _ in files], dtype=np.int64),
        [str(file.relative_to(path)) for _, file in files],
        lambda i: open_image(files[i][1]),
    )


def _class_folders(path: Path, split: str) -> dict[str, Path]:
    folder = path / split
    if not folder.is_dir():
        raise UserError(f"no folder {folder}: folder:PATH needs PATH/train/<class>/* and PATH/test/<class>/*")
    folders = {entry.name: entry for entry in sorted(folder.iterdir()) if entry.is_dir()}
    if not folders:
        raise UserError(f"{folder} has no class folders: images belong in {folder}/<class>/")
    return folders


def _files(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    if not files:
        raise UserError(f"class folder {folder} holds no image: put some in, or remove it")
    return files


def open_image(path: Path) -> Image.Image:
    """Open an image file and decode it whole.

    Raises:
        UserError: naming the file, if it is no image or a broken one.

    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                image.load()
                return image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} is not a readable image ({_line(error)}): mend or remove it") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
