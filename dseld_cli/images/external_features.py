"""Features that were extracted elsewhere: .npz and .npy files of features and labels."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli.errors import UserError

Array = NDArray[Any]


@dataclass(frozen=True)
class Given:
    """Features of n images, made elsewhere.

    Attributes:
        features: (n, N) of any real type, maybe on disk.
        labels: (n,) int64.
        classes: class names; labels index them.
        source: where each image came from, (n,).
        extractor: what made them, if the file says so.

    """

    features: Array
    labels: NDArray[np.int64]
    classes: list[str]
    source: list[str]
    extractor: str | None


def from_npz(path: Path) -> Given:
    """Arrays features (n, N) and labels (n), names or numbers; maybe classes, that numbers index, source and extractor.

    Raises:
        UserError: if the file is not such a one.

    """
    arrays = _arrays(path)
    if missing := sorted({"features", "labels"} - set(arrays)):
        raise UserError(f"{path} has no array {missing[0]}; it has {', '.join(arrays) or 'none'}")
    classes = [str(name) for name in arrays["classes"]] if "classes" in arrays else None
    source = [str(name) for name in arrays["source"]] if "source" in arrays else None
    extractor = str(arrays["extractor"]) if "extractor" in arrays else None
    return _given(path, arrays["features"], arrays["labels"], classes, source, extractor)


def from_npy(features: Path, labels: Path) -> Given:
    """Features (n, N), read from disk as they are needed, and labels (n), names or numbers.

    Raises:
        UserError: if the files are not such ones.

    """
    return _given(features, _array(features), _array(labels), None, None, None)


def _given(
    path: Path,
    features: Array,
    labels: Array,
    classes: list[str] | None,
    source: list[str] | None,
    extractor: str | None,
) -> Given:
    if features.ndim != 2 or not features.size or features.dtype.kind not in "fiu":
        raise UserError(f"{path}: features should be real numbers (n, N); got {features.dtype} {features.shape}")
    for what, column in (("labels", labels), ("source", source)):
        if column is not None and np.shape(column) != features.shape[:1]:
            raise UserError(f"{path}: {what} should have {len(features)} entries, as features; got {np.shape(column)}")
    numbers, names = _classes(path, labels, classes)
    return Given(features, numbers, names, source or [f"{path.name}/{row}" for row in range(len(features))], extractor)


def _classes(path: Path, labels: Array, classes: list[str] | None) -> tuple[NDArray[np.int64], list[str]]:
    """Labels as positions in a list of names, and that list: the one given, or the labels that occur, sorted."""
    if labels.dtype.kind not in "iuUST" or (labels.dtype.kind == "i" and labels.min() < 0):
        raise UserError(f"{path}: labels should be class names or whole numbers from 0 on; got {labels.dtype}")
    if classes is None:
        names, numbers = np.unique(labels, return_inverse=True)
        return numbers.astype(np.int64), [str(name) for name in names]
    if labels.dtype.kind not in "iu" or labels.max() >= len(classes):
        raise UserError(f"{path}: labels should be numbers below {len(classes)}, since it lists so many classes")
    return labels.astype(np.int64), classes


def _arrays(path: Path) -> dict[str, Array]:
    try:
        found = np.load(path, allow_pickle=False)
        if not isinstance(found, np.ndarray):
            with found:
                return dict(found)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a readable .npz file ({' '.join(str(error).split())})") from None
    raise UserError(f"{path} holds one array: --from-npy FEATURES LABELS reads a pair of those")


def _array(path: Path) -> Array:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is not a readable .npy file ({' '.join(str(error).split())})") from None
    if not isinstance(found, np.ndarray):
        raise UserError(f"{path} is a .npz archive: --from-npz FILE reads those")
    return found
