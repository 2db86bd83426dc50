"""Small pictures of images that stores name as their source, found where the stores say that they came from."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from PIL import Image

from dseld_cli import store
from dseld_cli.errors import UserError
from dseld_cli.images.datasets import images
from dseld_cli.images.image import Images, printable
from dseld_cli.store import project as paths

THUMBNAIL = 96
"""Longest side of a picture, in pixels."""
FOLDER = "folder:"


def thumbnails(wanted: Collection[str], dictionary: store.Dictionary, root: Path) -> dict[str, str]:
    """Make data URIs of the pictures that are to be had, by source; features made elsewhere have none.

    `root` is where named data sets are.
    """
    found: dict[str, str] = {}
    for prefix, dataset, split in origins(dictionary):
        missing = {name.removeprefix(prefix) for name in wanted if name.startswith(prefix) and name not in found}
        if missing:
            found |= {f"{prefix}{name}": uri for name, uri in _pictures(missing, dataset, root, split)}
    return found


def origins(dictionary: store.Dictionary) -> Iterator[tuple[str, str, str]]:
    """Say where images came from: what the names of their sources begin with, data set, split."""
    for segment in dictionary.info.segments[1:]:
        name = segment.name
        if name.startswith(FOLDER):
            yield f"{name}:", name, "train"
        elif added := store.previous(Path(name), store.FeaturesInfo):
            yield f"{name}:", added.info.dataset, added.info.split
    for split in ("train", "val", "test"):
        if features := store.previous(paths.features(split), store.FeaturesInfo):
            yield "", features.info.dataset, split


def _pictures(wanted: Collection[str], dataset: str, root: Path, split: str) -> Iterator[tuple[str, str]]:
    if (listed := _listed(dataset, root, split)) is None:
        return
    for i, name in enumerate(map(printable, listed.source)):
        if name in wanted:
            try:
                yield name, picture(listed.load(i))
            except UserError:
                continue


def _listed(dataset: str, root: Path, split: str) -> Images | None:
    """List images among which those of a split are; None of features made elsewhere, or if they are there no more.

    A folder that comes in no splits is all train where no share of it is test.
    """
    for part in ("test", "train") if split == "test" else ("train",):
        with suppress(UserError):
            return images(dataset, root, part)
    return None


def picture(image: Image.Image) -> str:
    """Make a data URI of an image, at most THUMBNAIL pixels wide and high."""
    image = image.convert("L" if image.mode in ("L", "F", "1") else "RGB")
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return uri(buffer.getvalue())


def uri(png: bytes) -> str:
    """Make a data URI of a PNG file."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
