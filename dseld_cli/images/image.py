"""Labelled images, and how a file of any kind becomes an 8-bit one, grey ("L") or RGB, the right way up."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dseld_cli.errors import UserError

warnings.filterwarnings("ignore", module=r"PIL\.")  # once: threads that decode share the list of filters

GREY = {"1", "L", "LA", "La"}


@dataclass(frozen=True)
class Images:
    """n labelled images of one split.

    Attributes:
        classes: class names; labels index them.
        labels: (n,) int64.
        source: where each image came from, (n,).
        raw: what image i is decoded from: the path of a file, or its pixels.
        open: raw to image; picklable, so that worker processes can do it.

    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    source: list[str]
    raw: Callable[[int], Any]
    open: Callable[[Any], Image.Image]

    def __len__(self) -> int:
        return len(self.source)

    def load(self, i: int) -> Image.Image:
        """Image i, decoded."""
        return self.open(self.raw(i))

    def select(self, rows: NDArray[np.int64]) -> Images:
        """Only these rows, in this order."""
        return replace(
            self, labels=self.labels[rows], source=[self.source[row] for row in rows], raw=lambda i: self.raw(rows[i])
        )


def printable(name: str) -> str:
    """File name as valid Unicode: bytes that are none become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def open_image(path: Path) -> Image.Image:
    """Open an image file, decode it whole and turn it as its EXIF orientation says.

    Raises:
        UserError: naming the file, if it is no image, or a broken one.

    """
    try:
        with Image.open(path) as image:
            return to_8_bit(ImageOps.exif_transpose(image))
    except Exception as error:  # Pillow's plugins raise whatever their parsers do
        reason = " ".join(str(error).replace(repr(str(path)), "this").split()) or type(error).__name__
        raise UserError(f"{path} is not a readable image ({reason}): mend or remove it") from None


def to_8_bit(image: Image.Image) -> Image.Image:
    """Return the picture as "L" if it is grey, "RGB" otherwise; transparency is dropped, 16 bits keep their upper 8.

    Raises:
        ValueError: for floating-point pixels, whose scale no file says.

    """
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown scale; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image, np.uint32) >> 8).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("L" if image.mode in GREY else "RGB")
