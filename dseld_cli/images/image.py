"""Labelled images, and how a file of any kind becomes an 8-bit one, grey ("L") or RGB, the right way up.

A file is looked at before it is decoded: a regular one, of a known format, with no more pixels than the memory holds.
Transparent pixels are seen on white paper.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, UnidentifiedImageError

from dseld_cli.errors import UserError
from dseld_cli.runtime.budget import arrays_within

warnings.filterwarnings("ignore", module=r"PIL\.")  # once: threads that decode share the list of filters
Image.MAX_IMAGE_PIXELS = None  # the budget decides instead, before anything is decoded

FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP")
"""Formats that are read; others may start programs (EPS) or are no pictures (FITS, HDF5)."""
BYTES_PER_PIXEL = 16
"""What decoding takes at most: the picture, turned or on white, as RGB; four bytes each as Pillow keeps them."""
MOST_PIXELS = 2**27
LARGE = 2**24
"""Pixels above which pictures are decoded one at a time."""
GREY = {"1", "L", "LA", "La"}
SIXTEEN_BITS = {"PNG", "PPM"}
"""Formats whose widest integers have 16 bits, in whatever mode Pillow keeps them."""
ORIENTATION = 0x0112
BITS_PER_SAMPLE = 258
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to what undoes it."""
ON_WHITE = "on white"
"""Key of `Image.info` that says that transparent pixels were put on white."""
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Images:
    """n labelled images of one split.

    Attributes:
        classes: class names; labels index them.
        labels: (n,) int64.
        source: where each image came from, (n,).
        raw: what image i is decoded from: the path of a file, or its pixels.
        open: raw to image; picklable, so that worker processes can do it.
        ignored: files among them that are known to be no images.

    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    source: list[str]
    raw: Callable[[int], Any]
    open: Callable[[Any], Image.Image]
    ignored: tuple[str, ...] = ()

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

    def within(self, memory: int) -> Images:
        """Refuse files of more pixels than a memory budget holds.

        Raises:
            UserError: if the budget holds none at all.

        """
        if self.open is not open_image:
            return self
        spare = arrays_within(memory, BYTES_PER_PIXEL * LARGE, "a picture of 16 megapixels")
        return replace(self, open=partial(open_image, most_pixels=spare // BYTES_PER_PIXEL))


def printable(name: str) -> str:
    """File name as valid Unicode: bytes that are none become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def open_image(path: Path, most_pixels: int = MOST_PIXELS) -> Image.Image:
    """Open an image file, decode it whole and turn it as its EXIF orientation says.

    Raises:
        UserError: naming the file, if it is no image, a broken one, or one of more pixels than `most_pixels`.

    """
    try:
        _require_regular(path)
        with Image.open(path, formats=_formats()) as image:
            pixels = image.width * image.height
            _require_few(image, most_pixels)
            with _one_at_a_time if pixels > LARGE else nullcontext():
                kind, bits = image.format, _bits(image)
                return to_8_bit(_upright(image), kind, bits)
    except Exception as error:  # Pillow's plugins raise whatever their parsers do
        raise _unreadable(path, error) from None


def looks_whole(path: Path, most_pixels: int = MOST_PIXELS) -> None:
    """Find out without decoding it, where its format allows that, whether `open_image` will open a file.

    Raises:
        UserError: as `open_image` does.

    """
    if not _seems_whole(path, most_pixels):
        open_image(path, most_pixels)  # has the last word


def _seems_whole(path: Path, most_pixels: int) -> bool:
    """Whether a file can be told to be whole: by the checksums of all chunks of a PNG, or the end of a JPEG."""
    try:
        _require_regular(path)
        with Image.open(path, formats=_formats()) as image:
            _require_few(image, most_pixels)
            if image.format == "PNG" and not image.mode.startswith(("I", "F")):
                image.verify()
                return True
            return image.format in ("JPEG", "MPO") and _ends(path)
    except Exception:  # Pillow's plugins raise whatever their parsers do
        return False


def to_8_bit(image: Image.Image, kind: str | None = None, bits: int = 16) -> Image.Image:
    """Return the picture as "L" if it is grey, "RGB" otherwise, transparent pixels on white.

    Of integers of more than 8 bits the upper 8 stay: of 16, or of as many as a file says that it has (12).

    Args:
        image: in any mode of Pillow's.
        kind: format of its file.
        bits: of each sample, in that file.

    Raises:
        ValueError: for pixels whose scale no file says: floating-point numbers, 32-bit integers.

    """
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown scale; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        if image.mode == "I" and kind not in SIXTEEN_BITS:
            raise ValueError("its pixels are 32-bit or signed integers of unknown scale; save it with 8 or 16 bits")
        return _upper_bits(image, bits)
    mode = "L" if image.mode in GREY else "RGB"
    if not image.has_transparency_data:
        return image.convert(mode)
    return _on_white(image.convert("RGBA"), mode)


def _upper_bits(image: Image.Image, bits: int) -> Image.Image:
    """Keep the upper 8 bits of grey integers; of the one value that a PNG may call transparent, white."""
    pixels, clear = np.asarray(image, np.uint32), image.info.get("transparency")
    grey = Image.fromarray((pixels >> (bits - 8)).astype(np.uint8))
    if not isinstance(clear, int):
        return grey
    alpha = Image.fromarray(np.where(pixels == clear, 0, 255).astype(np.uint8))
    return _on_white(Image.merge("LA", (grey, alpha)).convert("RGBA"), "L")


def _on_white(clear: Image.Image, mode: str) -> Image.Image:
    """Put a picture, RGBA, on white, as "L" or "RGB"."""
    solid, alpha = clear.convert(mode), clear.getchannel("A")
    if alpha.getextrema()[0] == 255:
        return solid
    white = Image.new(solid.mode, solid.size, "white")
    found = Image.composite(solid, white, alpha)
    found.info[ON_WHITE] = ImageChops.difference(found, solid).getbbox() is not None
    return found


def _upright(image: Image.Image) -> Image.Image:
    """Decode and turn it; tags that cannot be read, this one or others beside it, are no reason to refuse a picture."""
    image.load()
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # EXIF breaks in as many ways as there are cameras
        turn = None
    return image if turn is None else image.transpose(turn)


def _bits(image: Image.Image) -> int:
    """Bits of a sample of a TIFF file of more than 8; 16 of all others."""
    tags: Any = getattr(image, "tag_v2", {})
    bits = tags.get(BITS_PER_SAMPLE, (16,))
    return int(bits[0]) if len(bits) == 1 and 8 < bits[0] < 16 else 16


@cache
def _formats() -> tuple[str, ...]:
    """Those of the formats that this Pillow reads."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _require_regular(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise ValueError("it is no regular file, but a folder, a pipe, a socket or a device")


def _require_few(image: Image.Image, most_pixels: int) -> None:
    if (pixels := image.width * image.height) > most_pixels:
        raise ValueError(
            f"{image.width} x {image.height} are {pixels / 1e6:.0f} megapixels, more than the {most_pixels / 1e6:.0f} "
            "that the memory budget holds; scale it down, or raise run.memory"
        )


def _ends(path: Path) -> bool:
    """Whether a JPEG file has an end; what comes after may be long (a second picture, a film)."""
    return b"\xff\xd9" in path.read_bytes()[-(2**20) :]


def _unreadable(path: Path, error: Exception) -> UserError:
    if isinstance(error, UnidentifiedImageError):
        reason = "it is of no format that is known here, or damaged"
    elif isinstance(error, OSError) and error.errno:
        reason = error.strerror or type(error).__name__
    else:
        reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{path} is not a readable image ({reason[:200]}): mend or remove it")
