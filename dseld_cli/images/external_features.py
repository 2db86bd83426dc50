"""Features that were extracted elsewhere: .npz and .npy files of features and labels."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dseld_cli.errors import UserError
from dseld_cli.images import npz
from dseld_cli.runtime.budget import arrays_within
from dseld_cli.runtime.text import line

Array = NDArray[Any]

WANTED = ("features", "labels", "classes", "source", "extractor")
"""Arrays of a .npz file that are read, if it has them; others are not looked at."""
BYTES_PER_IMAGE = 256
"""What a label and a name take in memory, and a class that it may be alone in."""


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


def from_npz(path: Path, memory: int) -> Given:
    """Arrays features (n, N) and labels (n), names or numbers; maybe classes, that numbers index, source and extractor.

    Raises:
        UserError: if the file is not such a one, or does not fit the memory budget.

    """
    found, names = npz.arrays(path, WANTED, arrays_within(memory, 0, "any array"))
    if missing := [name for name in ("features", "labels") if name not in found]:
        raise UserError(f"{path} has no array {missing[0]}; it has {line(', '.join(names), 80) or 'none'}")
    return _given(path, path, memory, found)


def from_npy(features: Path, labels: Path, memory: int) -> Given:
    """Features (n, N), read from disk as they are needed, and labels (n), names or numbers.

    Raises:
        UserError: if the files are not such ones, or there are too many images for the memory budget.

    """
    return _given(features, labels, memory, {"features": npz.array(features), "labels": npz.array(labels)})


def _given(path: Path, labels: Path, memory: int, found: dict[str, Array]) -> Given:
    features = found["features"]
    if features.ndim != 2 or not features.size or features.dtype.kind not in "fiu":
        raise UserError(
            f"{path}: features should be real numbers (n, N) of at least one image; got {features.dtype} "
            f"{features.shape}"
        )
    n = len(features)
    for file, name in ((labels, "labels"), (path, "source")):
        if name in found and found[name].shape != (n,):
            raise UserError(f"{file}: {name} should have {n} entries, as features; got {found[name].shape}")
    text = sum(found[name].nbytes for name in ("labels", "source", "classes") if name in found)
    arrays_within(memory, n * BYTES_PER_IMAGE + 4 * text, f"labels and names of {n} images")
    classes = _names(path, "classes", found["classes"]) if "classes" in found else None
    source = _told_apart(path, _names(path, "source", found["source"])) if "source" in found else None
    numbers, names = _classes(labels, found["labels"], classes)
    extractor = _extractor(path, found["extractor"]) if "extractor" in found else None
    return Given(features, numbers, names, source or [f"{path.name}/{row}" for row in range(n)], extractor)


def _classes(path: Path, labels: Array, classes: list[str] | None) -> tuple[NDArray[np.int64], list[str]]:
    """Labels as positions in a list of names, and that list: the one given, or the labels that occur, sorted."""
    if labels.dtype.kind not in "iuUS":
        raise UserError(f"{path}: labels should be class names or whole numbers from 0 on; got {labels.dtype}")
    if labels.dtype.kind == "i" and (labels < 0).any():
        row = int(np.argmax(labels < 0))
        raise UserError(f"{path}: labels should be class names or whole numbers from 0 on; row {row} is {labels[row]}")
    if classes is None:
        names, numbers = np.unique(labels, return_inverse=True)
        return numbers.astype(np.int64), _distinct(path, _names(path, "labels", names))
    if labels.dtype.kind in "US":
        raise UserError(f"{path}: labels should be numbers below {len(classes)}, since it lists so many classes")
    if (labels >= len(classes)).any():
        row = int(np.argmax(labels >= len(classes)))
        raise UserError(
            f"{path}: labels should be numbers below {len(classes)}, since it lists so many classes; "
            f"row {row} is {labels[row]}"
        )
    return labels.astype(np.int64), _distinct(path, classes)


def _distinct(path: Path, classes: list[str]) -> list[str]:
    """Pass class names, in Unicode's composed form, of which no two are the same.

    Raises:
        UserError: if some are, or one is empty.

    """
    composed = [unicodedata.normalize("NFC", name) for name in classes]
    name, count = Counter(composed).most_common(1)[0] if composed else ("", 1)
    if count > 1:
        first = composed.index(name)
        rows = f"{first} and {composed.index(name, first + 1)}"
        raise UserError(
            f"{path}: classes {rows} have the same name, {name[:80]!r}: tell them apart, such as by a number"
        )
    if not all(composed):
        raise UserError(f"{path}: class {composed.index('')} has an empty name: give it one")
    return composed


def _told_apart(path: Path, source: list[str]) -> list[str]:
    """Pass names of images, of which no two are the same: they are removed and relabelled by name.

    Raises:
        UserError: if some are, or one is empty.

    """
    first: dict[str, int] = {}
    for row, name in enumerate(source):
        if not name.strip():
            raise UserError(f"{path}: source {row} is empty: name each image, or leave source out")
        if first.setdefault(name, row) != row:
            raise UserError(
                f"{path}: sources {first[name]} and {row} are the same, {line(name, 80)}: tell images apart, which are "
                "removed and relabelled by name, or leave source out"
            )
    return source


def _names(path: Path, what: str, array: Array) -> list[str]:
    """Text, bytes in UTF-8 or whole numbers, (n,), as text.

    Raises:
        UserError: if it is none of these.

    """
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise UserError(f"{path}: {what} should be names (n,); got {array.dtype} {array.shape}")
    try:
        if array.dtype.kind == "S":
            return [name.decode("utf-8") for name in array.tolist()]
        names = [str(name) for name in array]
        "".join(names).encode("utf-8")
        return names
    except UnicodeEncodeError as error:
        raise UserError(f"{path}: {what} has half of a character: {error.object[error.start]!a}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: {what} has bytes that are no UTF-8: {error.object[:40]!r}") from None


def _extractor(path: Path, array: Array) -> str:
    if array.size != 1:
        raise UserError(f"{path}: extractor should be one name; got {array.dtype} {array.shape}")
    return _names(path, "extractor", array.reshape(1))[0]
