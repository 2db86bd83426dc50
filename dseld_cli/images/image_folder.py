"""Data sets that are folders of image files: PATH/<split>/<class>/*, PATH/<class>/*, ImageNet, Tiny ImageNet.

Hidden entries (.DS_Store, .ipynb_checkpoints) are no images and no classes, and neither are files that systems and
people leave beside images (Thumbs.db, notes.txt); every other file counts as an image, so that one that cannot be
read is reported, not overlooked. Names of classes are compared and kept in Unicode's composed form (NFC).
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dseld_cli.errors import UserError
from dseld_cli.images.image import Images, open_image, printable
from dseld_cli.images.sampling import held_out

SPLITS = ("train", "val", "test")
LEFT_BEHIND = {"thumbs.db", "ehthumbs.db", "desktop.ini", "picasa.ini", "icon\r"}
"""Files that systems leave in folders of images."""
NOTES = {".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml", ".xml", ".html", ".htm"}
NOTES |= {".ini", ".log", ".py", ".ipynb", ".xmp", ".aae", ".lnk", ".url", ".dvc"}
"""Endings of files that people and programs put beside images."""

FileList = list[tuple[int, str]]
"""(label, path relative to the data set's folder) of each image."""


def folder(path: Path, split: str, test_share: float = 0.0, seed: int = 0, also: Sequence[str] = ()) -> Images:
    """PATH/train/<class>/* and PATH/test/<class>/*, or PATH/val/<class>/* where there is no PATH/test.

    Where PATH has none of these but class folders, PATH/<class>/*, a seeded draw of `test_share` of each class is test.
    Classes are those of train; those of test/ that `also` names, follow.

    Raises:
        UserError: if a folder is missing or empty, holds a class that is none of these, or links into itself.

    """
    if _is_flat(path):
        return _share(_folder(path, ".", "."), split, test_share, seed)
    part = "val" if split == "test" and not (path / "test").is_dir() and (path / "val").is_dir() else split
    return _folder(path, "train", part, also)


def beside(path: Path) -> list[str]:
    """Folders in a data set's folder that `folder` does not read, as they are beside train/ and test/."""
    if _is_flat(path):
        return []
    read = {"train", "test" if (path / "test").is_dir() else "val"}
    return sorted(entry.name for entry in path.glob("[!.]*/") if entry.name not in read)


def _is_flat(path: Path) -> bool:
    """Whether class folders lie in the folder itself."""
    return not any((path / part).exists() for part in SPLITS) and any(path.glob("[!.]*/"))


def _folder(path: Path, train: str, part: str, also: Sequence[str] = ()) -> Images:
    """Images of one part, of the classes that train has, and of those of `also` that this part has."""
    top, ignored = _class_folders(path / train)
    folders, loose = (top, ignored) if part == train else _class_folders(path / part)
    classes = [*sorted(top), *(name for name in dict.fromkeys(also) if name in folders and name not in top)]
    if unknown := sorted(set(folders) - set(classes)):
        raise UserError(
            f"{path / part}: class {unknown[0]} has no folder in {path / train}; classes come from there, and from "
            "additions"
        )
    ignored, files = list(loose), []
    for label, name in enumerate(classes):
        if name in folders:
            found, others = _files(folders[name], str(Path(part, folders[name].name)))
            files += [(label, file) for file in found]
            ignored += others
    return replace(_listed(path, classes, files), ignored=tuple(ignored))


def _share(images: Images, split: str, test_share: float, seed: int) -> Images:
    """Divide images that come in no splits.

    Raises:
        UserError: if test gets none.

    """
    test = held_out(images.labels, test_share, seed)
    if split == "test" and not test.any():
        raise UserError(
            f"extract.test_share: {test_share:g} of each class leaves test without images; raise it, or divide the "
            "images yourself into train/<class>/* and test/<class>/*"
        )
    return images.select(np.flatnonzero(test if split == "test" else ~test))


def is_no_image(name: str) -> bool:
    """Whether a file is known, by its name alone, to be no image."""
    return name.lower() in LEFT_BEHIND or Path(name).suffix.lower() in NOTES


def files_of(path: Path) -> list[Path]:
    """Return a file by itself, or every file below a folder, in order.

    Raises:
        UserError: if there is none.

    """
    if not path.is_dir():
        return [path]
    files = files_below(path)
    if not files:
        raise UserError(f"{path} holds no image")
    return files


def files_below(path: Path, into_itself: bool = False) -> list[Path]:
    """Every file below a folder that may be an image, in order; once each, where it may link `into_itself`.

    Raises:
        UserError: if it links into itself and may not.

    """
    files = sorted(_walk(str(path), str(path), frozenset(), into_itself))
    return [Path(file) for file in files if not is_no_image(Path(file).name)]


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
    wnids = sorted(_class_folders(path / "train")[0])
    words = {wnid: names.split(", ") for wnid, names in _table(path / "words.txt")}
    classes = synset_names(wnids, words)
    if split == "train":
        return replace(folder(path, split), classes=classes)
    position = {wnid: label for label, wnid in enumerate(wnids)}
    rows = [(position[wnid], f"val/images/{name}") for name, wnid, *_ in _table(path / "val" / "val_annotations.txt")]
    return _listed(path, classes, sorted(rows))


IMAGENETTE = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
"""Its ten classes."""


def imagenette(root: Path, split: str) -> Images:
    """Imagenette, ten classes of ImageNet, as published: train/<wnid>/*, val/<wnid>/*, in any of its sizes.

    Raises:
        UserError: if it is not there.

    """
    names = ("imagenette2", "imagenette2-320", "imagenette2-160", "imagenette")
    path = next((root / name for name in names if (root / name).is_dir()), root)
    if not all((path / "val" / wnid).is_dir() for wnid in IMAGENETTE):
        raise UserError(f"imagenette: {root} has no imagenette2: pass --data-root DIR that holds it, unpacked")
    images = folder(path, split)
    return replace(images, classes=synset_names(images.classes, {wnid: (name,) for wnid, name in IMAGENETTE.items()}))


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


def _class_folders(path: Path) -> tuple[dict[str, Path], list[str]]:
    """Class folders by name, and the files beside them that are known to be no images.

    Raises:
        UserError: if there are none, other files, or two of one name.

    """
    if not path.parent.is_dir():
        raise UserError(f"no folder {path.parent}: give one that has images, in <class>/* or in train/<class>/*")
    if not path.is_dir():
        raise UserError(
            f"no folder {path}: images belong in train/<class>/* and test/<class>/* (or val/<class>/*) below one "
            "folder, or in <class>/*, of which a share is drawn for test"
        )
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    loose = [entry for entry in entries if not entry.is_dir()]
    if images := [entry for entry in loose if not is_no_image(entry.name)]:
        raise UserError(f"{images[0]} is in no class folder: move it into one of {path}'s, or remove it")
    found: dict[str, Path] = {}
    for entry in entries:
        if entry.is_dir() and (twin := found.setdefault(_composed(entry.name), entry)) != entry:
            raise UserError(
                f"{path} has two class folders {_composed(entry.name)}, which differ only in Unicode form "
                f"({twin.name!a}, {entry.name!a}): merge them"
            )
    if not found:
        raise UserError(f"{path} has no class folders: images belong in {path}/<class>/")
    return found, [entry.name for entry in loose]


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _files(path: Path, name: str) -> tuple[list[str], list[str]]:
    """Images of a class folder, and files that are known to be none."""
    files = sorted(_walk(str(path), name, frozenset()))
    images = [file for file in files if not is_no_image(Path(file).name)]
    if not images:
        raise UserError(f"class folder {path} holds no image: put some in, or remove it")
    return images, sorted(set(files) - set(images))


def _walk(path: str, name: str, above: frozenset[str], into_itself: bool = False) -> Iterator[str]:
    """Every file below a folder, as `name`/..., links followed; `above` are the folders that led here."""
    real = os.path.realpath(path)
    if real in above and into_itself:
        return  # what is there is listed where the link leads
    if real in above:
        raise UserError(f"{path} links back to {real}, which it is in: remove the link")
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir():  # a link to itself is no folder
                yield from _walk(entry.path, f"{name}/{entry.name}", above | {real}, into_itself)
            else:
                yield f"{name}/{entry.name}"
