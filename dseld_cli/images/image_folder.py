"""Data sets that are folders of image files: PATH/<split>/<class>/*, ImageNet, Tiny ImageNet.

Hidden entries (.DS_Store, .ipynb_checkpoints) are no images and no classes; every other file counts as an image, so
that one that cannot be read is reported, not overlooked.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dseld_cli.errors import UserError
from dseld_cli.images.image import Images, open_image, printable

FileList = list[tuple[int, str]]
"""(label, path relative to the data set's folder) of each image."""


def folder(path: Path, split: str) -> Images:
    """PATH/train/<class>/* and PATH/test/<class>/*, or PATH/val/<class>/* where there is no PATH/test.

    Raises:
        UserError: if a folder is missing or empty, holds a class that train lacks, or links into itself.

    """
    part = "val" if split == "test" and not (path / "test").is_dir() and (path / "val").is_dir() else split
    classes = sorted(_class_folders(path / "train"))
    folders = _class_folders(path / part)
    if unknown := sorted(set(folders) - set(classes)):
        raise UserError(f"{path / part}: class {unknown[0]} has no folder in {path / 'train'}; classes come from there")
    found = ((label, _files(folders[name], f"{part}/{name}")) for label, name in enumerate(classes) if name in folders)
    return _listed(path, classes, [(label, file) for label, files in found for file in files])


def files_of(path: Path) -> list[Path]:
    """Return a file by itself, or every file below a folder, in order.

    Raises:
        UserError: if there is none.

    """
    if not path.is_dir():
        return [path]
    files = sorted(_walk(str(path), str(path), frozenset()))
    if not files:
        raise UserError(f"{path} holds no image")
    return [Path(file) for file in files]


def imagenet(root: Path, split: str) -> Images:
    """ImageNet (ILSVRC2012) as torchvision lays it out: train/<wnid>/*, val/<wnid>/* and meta.bin or the devkit.

    Raises:
        UserError: if one of them is missing.

    """
    from torchvision.datasets.imagenet import load_meta_file, parse_devkit_archive

    try:
        if not (root / "meta.bin").is_file():
            parse_devkit_archive(str(root))
        names, _ = load_meta_file(str(root))
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"imagenet: {root} has neither meta.bin nor a whole ILSVRC2012_devkit_t12.tar.gz "
            f"({' '.join(str(error).split())}): pass --data-root DIR, where torchvision.datasets.ImageNet(DIR) finds it"
        ) from None
    images = folder(root, split)
    return replace(images, classes=synset_names(images.classes, names))


def tiny_imagenet(root: Path, split: str) -> Images:
    """Tiny ImageNet as published: train/<wnid>/images/*, val/images/* with val_annotations.txt, words.txt.

    Its test images have no labels: the published validation images are the test split.

    Raises:
        UserError: if a file is missing.

    """
    path = root / "tiny-imagenet-200" if (root / "tiny-imagenet-200").is_dir() else root
    wnids = sorted(_class_folders(path / "train"))
    words = {wnid: names.split(", ") for wnid, names in _table(path / "words.txt")}
    classes = synset_names(wnids, words)
    if split == "train":
        return replace(folder(path, split), classes=classes)
    position = {wnid: label for label, wnid in enumerate(wnids)}
    rows = [(position[wnid], f"val/images/{name}") for name, wnid, *_ in _table(path / "val" / "val_annotations.txt")]
    return _listed(path, classes, sorted(rows))


def _listed(path: Path, classes: Sequence[str], files: FileList) -> Images:
    """Images from a list of files."""
    labels = np.array([label for label, _ in files], dtype=np.int64)
    source = [file for _, file in files]
    return Images(tuple(map(printable, classes)), labels, source, lambda i: path / source[i], open_image)


def synset_names(wnids: Sequence[str], names: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """First name of each synset, with its WordNet id where two share that name (crane: a bird and a machine)."""
    first = [names[wnid][0] if wnid in names else wnid for wnid in wnids]
    seen = Counter(first)
    return tuple(name if seen[name] == 1 else f"{name} ({wnid})" for name, wnid in zip(first, wnids, strict=True))


def _table(path: Path) -> list[list[str]]:
    if not path.is_file():
        raise UserError(f"tiny-imagenet: no file {path}: pass --data-root DIR that holds tiny-imagenet-200")
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _class_folders(path: Path) -> dict[str, Path]:
    if not path.is_dir():
        raise UserError(
            f"no folder {path}: images belong in train/<class>/* and test/<class>/* (or val/<class>/*) below one folder"
        )
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    if loose := [entry for entry in entries if not entry.is_dir()]:
        raise UserError(f"{loose[0]} is in no class folder: move it into one of {path}'s, or remove it")
    if not entries:
        raise UserError(f"{path} has no class folders: images belong in {path}/<class>/")
    return {entry.name: entry for entry in entries}


def _files(path: Path, name: str) -> list[str]:
    files = sorted(_walk(str(path), name, frozenset()))
    if not files:
        raise UserError(f"class folder {path} holds no image: put some in, or remove it")
    return files


def _walk(path: str, name: str, above: frozenset[str]) -> Iterator[str]:
    """Every file below a folder, as `name`/..., links followed; `above` are the folders that led here."""
    real = os.path.realpath(path)
    if real in above:
        raise UserError(f"{path} links back to {real}, which it is in: remove the link")
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir():  # a link to itself is no folder
                yield from _walk(entry.path, f"{name}/{entry.name}", above | {real})
            else:
                yield f"{name}/{entry.name}"
